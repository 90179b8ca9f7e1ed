from django.urls import path

from clients import views

urlpatterns = [
    path("health", views.health),
]
