"""Teachers: rationales for the cold start, and the filters that verify them."""

from pondera.teach.base import Teacher, TeacherResponse
from pondera.teach.command import CommandTeacher
from pondera.teach.distill import Distillation, distill, status
from pondera.teach.measuring import MeasuringTeacher

__all__ = ["CommandTeacher", "Distillation", "MeasuringTeacher", "Teacher", "TeacherResponse", "distill", "status"]
