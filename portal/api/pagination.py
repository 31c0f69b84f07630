from rest_framework.pagination import CursorPagination


class Newest(CursorPagination):
    """Newest first, by cursor: a page stays the same while rows are added."""

    ordering = "-id"
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500


class ByName(Newest):
    ordering = "slug"
