# SPDX-License-Identifier: Apache-2.0
"""How video_person_detection is used."""

from kfp import dsl

from components.data_processing.video_person_detection import video_person_detection


@dsl.pipeline(name="people-in-a-video")
def people(video: str, threshold: float = 0.4) -> int:
    """Count people in a video.

    Args:
        video: Address of the video.
        threshold: Least score of a person.

    Returns:
        Detections in all frames.
    """
    given = dsl.importer(artifact_uri=video, artifact_class=dsl.Artifact)
    return video_person_detection(video=given.output, threshold=threshold).outputs["people"]
