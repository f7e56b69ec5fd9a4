"""Names of answers.py under their former address."""

from medn_lab.view.answers import face_pictures, table_allows  # noqa: F401
