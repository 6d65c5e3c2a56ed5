"""The HTML pages: the survey, the dashboard, signing in."""
