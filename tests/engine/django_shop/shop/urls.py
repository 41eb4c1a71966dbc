"""Routes of the shop."""

from django.contrib import admin
from django.urls import path

from shop import views

urlpatterns = [
    path("", views.home),
    path("add/", views.add),
    path("items/<int:number>/", views.item),
    path("stream/", views.stream),
    path("broken/", views.broken),
    path("private/", views.private),
    path("admin/", admin.site.urls),
]
