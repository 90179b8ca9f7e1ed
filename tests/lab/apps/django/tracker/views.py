import os

from django.db import Error, connection
from django.http import JsonResponse

from tracker.models import Campaign, User


def index(request):
    return JsonResponse(
        {
            "application": "wheel-analyzer",
            "version": os.environ.get("VERSION", ""),
            "users": User.objects.count(),
            "campaigns": Campaign.objects.count(),
        }
    )


def health(request):
    """200 only when the database answers and holds the schema this code was written for."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("SELECT to_regclass('tracker_user') IS NOT NULL")
            (has_schema,) = cursor.fetchone()
    except Error as error:
        return JsonResponse({"status": "unhealthy", "database": str(error)}, status=500)
    if not has_schema:
        return JsonResponse({"status": "unhealthy", "database": "table tracker_user is missing"}, status=500)
    return JsonResponse({"status": "healthy"})
