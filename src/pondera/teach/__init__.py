"""Teachers: rationales for the cold start, and the filters that verify them."""

from pondera.teach.base import Teacher, TeacherResponse, Unanswered
from pondera.teach.command import CommandTeacher
from pondera.teach.distill import Distillation, distill
from pondera.teach.measuring import MeasuringTeacher
from pondera.teach.openai import OpenAITeacher
from pondera.teach.opinions import SecondOpinion
from pondera.teach.status import status
from pondera.teach.video_measuring import VideoMeasuringTeacher, measuring_teacher
from pondera.teach.vllm import VllmTeacher

__all__ = [
    "CommandTeacher",
    "Distillation",
    "MeasuringTeacher",
    "OpenAITeacher",
    "SecondOpinion",
    "Teacher",
    "TeacherResponse",
    "Unanswered",
    "VideoMeasuringTeacher",
    "VllmTeacher",
    "distill",
    "measuring_teacher",
    "status",
]
