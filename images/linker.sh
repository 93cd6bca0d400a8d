# SPDX-License-Identifier: Apache-2.0
# Runs in an image's build: puts below /files what PoCL needs to link a kernel. It runs `ld` with -lc -lgcc -lgcc_s.
set -eu
command -v ld >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils; }
put() { mkdir -p "/files${2%/*}" && cp -L "$1" "/files$2"; }
put "$(command -v ld)" /usr/bin/ld
for library in $(ldd /usr/bin/ld | grep -oE '/[^ ]*/lib(bfd|ctf|jansson|opcodes|sframe|z|zstd)[-.][^ ]*'); do
  put "$library" "/usr${library#/usr}"
done
libraries=/usr$(dirname "$(ldd /usr/bin/ld | grep -oE '/[^ ]*/libc\.so\.6' | sed 's,^/usr,,')")
# The shared libraries that every process here has loaded, under the names that -l looks for; the static part of
# libgcc would come with a compiler, and libgcc_s holds the same functions.
ln -s libc.so.6 "/files$libraries/libc.so"
ln -s libgcc_s.so.1 "/files$libraries/libgcc_s.so"
printf '!<arch>\n' >"/files$libraries/libgcc.a"
mkdir -p /files/usr/share/doc
for package in binutils-common libjansson4 libzstd1 zlib1g; do
  if [ -f "/usr/share/doc/$package/copyright" ]; then put "/usr/share/doc/$package/copyright" "/usr/share/doc/$package/copyright"; fi
done
