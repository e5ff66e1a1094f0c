"""Every address of the web application. All but the login and its language want a login."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.utils.translation import gettext_lazy as _

from syncservice.console import item_views, views

admin.site.site_header = admin.site.site_title = _("syncservice administration")
admin.site.index_title = _("Administration")

urlpatterns = [
    path("", views.overview, name="overview"),
    path("mailboxes/<int:mailbox_id>/", views.mailbox, name="mailbox"),
    path("mailboxes/<int:mailbox_id>/items/", item_views.show, name="items"),
    path("mailboxes/<int:mailbox_id>/items/act/", item_views.act, name="act_on_items"),
    path("emails/<uuid:email_id>/", views.email, name="email"),
    path("emails/<uuid:email_id>/act/", views.act_on_email, name="act_on_email"),
    path("emails/<uuid:email_id>/body/", views.email_body, name="email_body"),
    path("emails/<uuid:email_id>/attachments/<int:position>/", views.attachment, name="attachment"),
    path("login/", LoginView.as_view(template_name="console/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
handler403 = views.forbidden
handler404 = views.not_found
