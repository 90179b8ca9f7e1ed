from django.db import Error
from django.http import JsonResponse

from clients.models import Client


def health(request):
    try:
        return JsonResponse({"status": "healthy", "tenants": Client.objects.count()})
    except Error as error:
        return JsonResponse({"status": "unhealthy", "database": str(error)}, status=500)
