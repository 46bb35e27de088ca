"""Manifests, media, distortions: everything that turns files into samples."""
