"""The HTTP application and web page."""
