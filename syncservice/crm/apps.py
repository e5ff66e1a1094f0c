from django.apps import AppConfig


class CrmConfig(AppConfig):
    name = "syncservice.crm"
    verbose_name = "CRM"
