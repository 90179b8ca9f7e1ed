from django.urls import path

from tracker import views

urlpatterns = [
    path("", views.index),
    path("health", views.health),
]
