# SPDX-License-Identifier: Apache-2.0
"""What state a video turned out to be in: whole, truncated, damaged. Pure: it is told facts and makes a sentence."""

from __future__ import annotations

from dataclasses import dataclass

from av.container import InputContainer
from av.video.stream import VideoStream

_SLACK_SECONDS = 0.5
"""A video may end this much before the duration in its header, where that is all the header tells: headers round."""


@dataclass(slots=True)
class Condition:
    """Facts about a video while it is read."""

    rate: float = 0.0
    """Frames a second; 0 if unknown."""
    promised_packets: int | None = None
    """Pictures that the header promises."""
    promised_end: float | None = None
    """When the last picture ends, as the header promises; seconds on the container's own clock."""
    timeout: float = 15.0
    packets: int = 0
    """Compressed pictures read so far, damaged ones included."""
    seconds: float | None = None
    """When the last picture began, on the container's clock; None if the container gives no times."""
    interruption: str = ""
    """Why reading ended before the end."""
    _damages: int = 0
    _first_damage: int = 0
    _resized_at: int | None = None
    _size: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream, timeout: float) -> Condition:
        """Read what the header promises."""
        rate = stream.average_rate or stream.guessed_rate
        return cls(float(rate or 0), stream.frames or None, _promised_end(container, stream), timeout)

    def damaged(self, frame: int) -> None:
        """Note that something at ``frame`` could not be decoded, or not wholly."""
        if not self._damages:
            self._first_damage = frame
        self._damages += 1

    def resized(self, frame: int, size: tuple[int, int]) -> None:
        """Note that ``frame`` was not of ``size`` and had to be scaled."""
        if self._resized_at is None:
            self._resized_at, self._size = frame, size

    def warning(self, frames: int, *, complete: bool) -> str | None:
        """What to tell the user at the end, or None.

        Args:
            frames: how many were delivered.
            complete: no more were wanted, so that an early end is none.
        """
        notes = []
        if self._resized_at is not None:
            width, height = self._size
            notes.append(f"the picture's size changed at frame {self._resized_at}; scaled back to {width}x{height}")
        early = not complete and self._early(frames)
        if early:
            notes.append(early)
        elif self._damages:
            places = "1 damaged place was" if self._damages == 1 else f"{self._damages} damaged places were"
            notes.append(f"{places} skipped or concealed, the first at frame {self._first_damage}")
        return "; ".join(notes) or None

    def _early(self, frames: int) -> str:
        promised = f" of {self.promised_packets}" if self.promised_packets is not None else ""
        if self.interruption:
            return f"reading ended at frame {frames}{promised}: {self.interruption}"
        if self.promised_packets is not None:
            # Fewer pictures alone prove nothing: an AVI counts those that its camera dropped.
            if self.packets < self.promised_packets and self._ends_before_promised(0.5 / self.rate if self.rate else 0):
                return f"the video ends at frame {frames}{promised}: truncated or damaged"
        elif self.promised_end is not None and self._ends_before_promised(_SLACK_SECONDS):
            return f"the video ends at frame {frames}, before {self.promised_end:.1f} s: truncated or damaged"
        return ""

    def _ends_before_promised(self, slack: float) -> bool:
        if self.promised_end is None or self.seconds is None:
            return True
        end = self.seconds + (1 / self.rate if self.rate else 0)
        return end < self.promised_end - slack


def _promised_end(container: InputContainer, stream: VideoStream) -> float | None:
    """End of the video by the header, None where nothing sure is known."""
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")  # Matroska: an end, not a length
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except (KeyError, ValueError):
        pass
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1_000_000
    return None
