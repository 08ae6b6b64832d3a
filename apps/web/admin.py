"""Gives the admin its first page; imported with the admin modules of the other apps."""

from django.contrib import admin

admin.site.index_template = "admin/desk.html"
