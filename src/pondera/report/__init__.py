"""The report: one HTML file that carries its figures, images and style, and loads nothing."""

from pondera.report.curves import read_curves
from pondera.report.page import GalleryEntry, GalleryItem, System, render_report

__all__ = ["GalleryEntry", "GalleryItem", "System", "read_curves", "render_report"]
