# SPDX-License-Identifier: Apache-2.0
# Runs in an image's build: installs /locked.txt below /files, as it will lie in the image, with its byte code.
set -eu
site=$(/opt/accelchain/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
/tools/bin/python -m pip --python /opt/accelchain/bin/python install -q --require-hashes --no-deps --no-compile \
  --only-binary :all: --no-warn-script-location --root /files -r /locked.txt
find "/files$site" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
find "/files$site" -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) \
  ! -path '*/share/pocl/*' -delete
rm -rf /files/opt/accelchain/bin
python3 -m compileall -q -s /files "/files$site"
mkdir -p /files/opt/accelchain/bytecode
mv /bytecode/files/opt /files/opt/accelchain/bytecode/opt
