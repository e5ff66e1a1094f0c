"""Every setting of the service, read once from the environment with django-environ.

Nothing else reads the environment. Each variable is explained in one line, typed, checked and
listed in `.env.example`; names carry their unit. Shells (workers, beat, command line) read these
values and pass plain ones inwards: `domain` and `sync` never import settings.
"""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from syncservice import environment as read

PACKAGE = Path(__file__).resolve().parent

environ.Env.read_env(read.text("ENV_FILE", ".env"))

#: Folder of the embedded servers' data and of keys made on first use; you may see and delete it.
DATA_FOLDER = Path(read.text("DATA_FOLDER", ".syncservice")).resolve()

# --- Stores -------------------------------------------------------------------------------------

#: PostgreSQL, the truth. Unset: the embedded server that `syncservice up` runs in DATA_FOLDER.
DATABASE_URL = read.url("DATABASE_URL", "", schemes=("postgresql", "postgres"))
#: Redis: Celery's broker and connection slots. Unset: the embedded server. It may be flushed.
REDIS_URL = read.url("REDIS_URL", "", schemes=("redis", "rediss", "unix"))

#: Everything on one machine, with the embedded servers.
EMBEDDED = not DATABASE_URL
if bool(DATABASE_URL) != bool(REDIS_URL):
    raise ImproperlyConfigured(
        "DATABASE_URL and REDIS_URL: only one of them is set; set both, or neither for the "
        "embedded servers"
    )
if EMBEDDED:
    from syncservice.embedded import EmbeddedServersError, running_urls

    try:
        _running = running_urls(DATA_FOLDER)
    except EmbeddedServersError as error:
        raise ImproperlyConfigured(str(error)) from error
    DATABASE_URL, REDIS_URL = _running.database_url, _running.redis_url

#: A lock that somebody else holds is waited for so long; the work is then put off.
_LOCK_TIMEOUT = read.seconds("DATABASE_LOCK_TIMEOUT_SECONDS", 30, least=0.1, most=3600)
#: A process that stands still inside a transaction loses it, and its locks, after so long.
_IDLE_TIMEOUT = read.seconds("DATABASE_IDLE_TIMEOUT_SECONDS", 60, least=0.1, most=3600)

DATABASES = {
    "default": {
        **environ.Env.db_url_config(DATABASE_URL),
        # A process that lost its network must not wait for ever on a dead connection.
        "OPTIONS": {
            "connect_timeout": 5,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
            "application_name": "syncservice",
            "options": f"-c lock_timeout={_LOCK_TIMEOUT // timedelta(milliseconds=1)} "
            "-c idle_in_transaction_session_timeout="
            f"{_IDLE_TIMEOUT // timedelta(milliseconds=1)}",
            **{key: values[0] for key, values in parse_qs(urlsplit(DATABASE_URL).query).items()},
        },
        #: Seconds a process keeps its connection between two tasks or requests.
        "CONN_MAX_AGE": read.integer(
            "DATABASE_CONN_MAX_AGE_SECONDS", 300, least=0, most=86400, unit="seconds"
        ),
        "CONN_HEALTH_CHECKS": True,
    }
}

# --- Secrets ------------------------------------------------------------------------------------

#: Signs sessions of the web application.
SECRET_KEY = read.kept_key("SECRET_KEY", DATA_FOLDER, may_create=EMBEDDED)[0]
#: Fernet keys that encrypt stored passwords, newest first; the others still decrypt.
CREDENTIAL_KEYS = read.kept_key("CREDENTIAL_KEYS", DATA_FOLDER, may_create=EMBEDDED)

#: Lets passwords be entered in pages over plain HTTP from other machines (F286). Never needed.
ALLOW_PASSWORDS_OVER_HTTP = read.boolean("ALLOW_PASSWORDS_OVER_HTTP", False)
#: Lets profiles reach mail servers on other machines without TLS (F286).
ALLOW_UNENCRYPTED_MAIL_SERVERS = read.boolean("ALLOW_UNENCRYPTED_MAIL_SERVERS", False)

# --- Visits -------------------------------------------------------------------------------------

#: Rest of a mailbox after a busy visit, or with mail left to fetch (F008).
POLL_SHORTEST = read.seconds("POLL_SHORTEST_SECONDS", 120, least=0.1, most=86400)
#: Rest of a mailbox with some mail (F008).
POLL_NORMAL = read.seconds("POLL_NORMAL_SECONDS", 300, least=0.1, most=86400)
#: Rest of a mailbox that has been quiet for long (F008).
POLL_LONGEST = read.seconds("POLL_LONGEST_SECONDS", 720, least=0.1, most=86400)
#: This many new messages in one visit make a mailbox busy.
POLL_BUSY_FROM = read.integer("POLL_BUSY_FROM_MESSAGES", 10, least=1, most=10000, unit="messages")
#: Longest a visit may run before it saves its cursor and leaves. Keep it under the soft limit.
VISIT_BUDGET = read.seconds("VISIT_BUDGET_SECONDS", 150, least=1, most=3600)
#: Most messages of one visit; the rest waits for the next.
VISIT_MESSAGES = read.integer("VISIT_MESSAGES", 20000, least=1, most=1000000, unit="messages")
#: Most bytes of one visit, as the server counts them; the rest waits for the next.
VISIT_BYTES = read.integer("VISIT_BYTES", 2 * 2**30, least=2**20, most=2**40, unit="bytes")
#: Change ids asked for in one request (EWS allows 512).
PAGE_IDS = read.integer("PAGE_IDS", 256, least=1, most=512, unit="ids")
#: Messages fetched and stored together, at most.
BATCH_MESSAGES = read.integer("BATCH_MESSAGES", 100, least=1, most=512, unit="messages")
#: Bytes fetched and stored together; what a worker holds in memory is a few times this.
BATCH_BYTES = read.integer("BATCH_BYTES", 16 * 2**20, least=2**16, most=2**30, unit="bytes")
#: A larger message is not fetched; it becomes an item failure.
MESSAGE_BYTES = read.integer("MESSAGE_BYTES", 64 * 2**20, least=2**10, most=2**30, unit="bytes")
#: Attempts at one message that fails for a reason that may pass (F117).
ITEM_ATTEMPTS = read.integer("ITEM_ATTEMPTS", 5, least=1, most=100, unit="attempts")
#: A claim, with its connection slots, that is not renewed by then is free again. Workers renew
#: those of running visits at a third of it, so this is how long a dead worker's mailboxes wait.
CLAIM_LEASE = read.seconds("CLAIM_LEASE_SECONDS", 60, least=0.1, most=86400)
#: A visit that ended its worker so often in a row, without getting further, is parked.
VISIT_CRASHES = read.integer("VISIT_CRASHES", 3, least=1, most=100, unit="visits")
#: How soon a mailbox that found no free connection slot tries again.
SLOT_RETRY = read.seconds("SLOT_RETRY_SECONDS", 10, least=0.1, most=3600)

# --- Faults --------------------------------------------------------------------------------------

#: Attempts at a mailbox or a server that fail for a passing reason, before it counts as lasting.
FAULT_ATTEMPTS = read.integer("FAULT_ATTEMPTS", 10, least=1, most=1000, unit="attempts")
#: How long after each of these attempts the next one is made.
FAULT_RETRY = read.seconds("FAULT_RETRY_SECONDS", 300, least=0.1, most=86400)
#: What is switched off for a lasting fault is looked at after ever longer pauses, up to this one.
PROBE_LONGEST = read.seconds("PROBE_LONGEST_SECONDS", 3600, least=0.1, most=86400 * 7)
#: Whether what the service switched off is switched on again when it works. A refused login never.
SELF_HEALING = read.boolean("SELF_HEALING", True)
#: Attempts at a test of a mailbox that fails for a passing reason.
TEST_ATTEMPTS = read.integer("TEST_ATTEMPTS", 3, least=1, most=100, unit="attempts")
#: How long after each of these attempts the next one is made.
TEST_RETRY = read.seconds("TEST_RETRY_SECONDS", 60, least=0.1, most=86400)

# --- Outgoing email -------------------------------------------------------------------------------

#: Longest that one mailbox's email is sent before another mailbox has its turn.
SENDING_BUDGET = read.seconds("SENDING_BUDGET_SECONDS", 30, least=1, most=3600)
#: Most emails of one mailbox before another has its turn.
SENDING_EMAILS = read.integer("SENDING_EMAILS", 100, least=1, most=100000, unit="emails")
#: Attempts at one email that fails for a reason of its own that may pass.
SENDING_ATTEMPTS = read.integer("SENDING_ATTEMPTS", 10, least=1, most=1000, unit="attempts")
#: How soon after the first of them the second is made; each later pause is twice the one before.
SENDING_RETRY = read.seconds("SENDING_RETRY_SECONDS", 60, least=0.1, most=86400)

# --- Dispatch -----------------------------------------------------------------------------------

#: How often a beat looks for due mailboxes.
DISPATCH_INTERVAL = read.seconds("DISPATCH_INTERVAL_SECONDS", 0.25, least=0.05, most=60)
#: Mailboxes claimed by one statement.
DISPATCH_BATCH = read.integer("DISPATCH_BATCH", 1000, least=1, most=100000, unit="mailboxes")

#: Visits that may wait in the queue; a beat claims no more while there are so many.
VISITS_AHEAD = read.integer("VISITS_AHEAD", 2000, least=1, most=1000000, unit="visits")
#: The most of the cluster's visiting processes that one profile gets when there are several.
PROFILE_SHARE_PERCENT = read.integer("PROFILE_SHARE_PERCENT", 50, least=1, most=100, unit="percent")

# --- Workers: a line a queue; `celery -A workers.app worker -Q <queue>` takes its queue's ---------

#: Child processes of the worker on each queue.
MAILBOXES_CONCURRENCY = read.integer(
    "MAILBOXES_CONCURRENCY", 4, least=1, most=512, unit="processes"
)
OUTGOING_ACTIVITIES_CONCURRENCY = read.integer(
    "OUTGOING_ACTIVITIES_CONCURRENCY", 2, least=1, most=512, unit="processes"
)
ASYNC_OPERATIONS_CONCURRENCY = read.integer(
    "ASYNC_OPERATIONS_CONCURRENCY", 2, least=1, most=512, unit="processes"
)
#: A task is asked to stop after the soft limit, and its process is killed after the hard one.
MAILBOXES_SOFT_LIMIT = read.seconds("MAILBOXES_SOFT_LIMIT_SECONDS", 240, least=1, most=3600)
MAILBOXES_HARD_LIMIT = read.seconds("MAILBOXES_HARD_LIMIT_SECONDS", 300, least=2, most=3600)
OUTGOING_ACTIVITIES_SOFT_LIMIT = read.seconds(
    "OUTGOING_ACTIVITIES_SOFT_LIMIT_SECONDS", 120, least=1, most=3600
)
OUTGOING_ACTIVITIES_HARD_LIMIT = read.seconds(
    "OUTGOING_ACTIVITIES_HARD_LIMIT_SECONDS", 150, least=2, most=3600
)
ASYNC_OPERATIONS_SOFT_LIMIT = read.seconds(
    "ASYNC_OPERATIONS_SOFT_LIMIT_SECONDS", 240, least=1, most=3600
)
ASYNC_OPERATIONS_HARD_LIMIT = read.seconds(
    "ASYNC_OPERATIONS_HARD_LIMIT_SECONDS", 300, least=2, most=3600
)
#: A child process is replaced after so many tasks, or when it holds more memory than this.
MAILBOXES_CHILD_TASKS = read.integer(
    "MAILBOXES_CHILD_TASKS", 1000, least=1, most=1000000, unit="tasks"
)
OUTGOING_ACTIVITIES_CHILD_TASKS = read.integer(
    "OUTGOING_ACTIVITIES_CHILD_TASKS", 1000, least=1, most=1000000, unit="tasks"
)
ASYNC_OPERATIONS_CHILD_TASKS = read.integer(
    "ASYNC_OPERATIONS_CHILD_TASKS", 1000, least=1, most=1000000, unit="tasks"
)
MAILBOXES_CHILD_MEMORY_KIB = read.integer(
    "MAILBOXES_CHILD_MEMORY_KIB", 512 * 1024, least=65536, most=2**25, unit="KiB"
)
OUTGOING_ACTIVITIES_CHILD_MEMORY_KIB = read.integer(
    "OUTGOING_ACTIVITIES_CHILD_MEMORY_KIB", 512 * 1024, least=65536, most=2**25, unit="KiB"
)
ASYNC_OPERATIONS_CHILD_MEMORY_KIB = read.integer(
    "ASYNC_OPERATIONS_CHILD_MEMORY_KIB", 512 * 1024, least=65536, most=2**25, unit="KiB"
)
#: A worker that gets QUIT (or TERM with REMAP_SIGTERM=SIGQUIT) lets its tasks run so long.
WORKER_SOFT_SHUTDOWN = read.seconds("WORKER_SOFT_SHUTDOWN_SECONDS", 0, least=0, most=3600)
#: A worker told to stop interrupts, after so many seconds, a visit that waits for a server.
STOP_PATIENCE = read.seconds("STOP_PATIENCE_SECONDS", 45, least=0.1, most=3600).total_seconds()

# --- Retention ----------------------------------------------------------------------------------

#: Days that statistics of visits are kept.
STATISTICS_DAYS = read.integer("STATISTICS_DAYS", 14, least=1, most=3650, unit="days")
#: Days that a resolved or given-up item failure is kept (the reference keeps 3, F261).
ITEM_FAILURE_DAYS = read.integer("ITEM_FAILURE_DAYS", 30, least=1, most=3650, unit="days")

#: Days that is kept why a message is not in the CRM; of POP3 as long as it lies on the server.
#: What visits did to appointments, contacts and tasks can be undone so long.
JOURNAL_DAYS = read.integer("JOURNAL_DAYS", 30, least=1, most=3650, unit="days")
#: A mailbox that was not visited for longer compares everything with the CRM once.
CHANGE_DAYS = read.integer("CHANGE_DAYS", 7, least=1, most=365, unit="days")
DECLINED_DAYS = read.integer("DECLINED_DAYS", 90, least=1, most=3650, unit="days")

#: Days that an alert is kept after its end (F232).
ALERT_DAYS = read.integer("ALERT_DAYS", 30, least=1, most=3650, unit="days")

# --- Mail of alerts -------------------------------------------------------------------------------

#: SMTP server that takes mail to profile owners, for example smtp+tls://user:password@host:587
ALERT_MAIL_URL = read.url("ALERT_MAIL_URL", "", schemes=("smtp", "smtp+tls", "smtp+ssl", "smtps"))
#: The sender of that mail.
ALERT_MAIL_FROM = read.text("ALERT_MAIL_FROM", "syncservice@localhost")
if ALERT_MAIL_URL:
    vars().update(environ.Env.email_url_config(ALERT_MAIL_URL))
EMAIL_TIMEOUT = 20

# --- One organisation's Exchange, for `syncservice up` without the admin pages --------------------

#: EWS address of the Exchange server, for example https://mail.example.com/EWS/Exchange.asmx
EXCHANGE_URL = read.url("EXCHANGE_URL", "", schemes=("https", "http"))
#: Service account that may impersonate the mailboxes; DOMAIN\user or user@domain.
EXCHANGE_USERNAME = read.text("EXCHANGE_USERNAME", "")
EXCHANGE_PASSWORD = read.text("EXCHANGE_PASSWORD", "")
#: Addresses of the mailboxes to keep in step, commas between.
EXCHANGE_MAILBOXES = read.names("EXCHANGE_MAILBOXES", "")
#: Which of their email becomes records, for mailboxes that are made by this list (F100).
EXCHANGE_TRACK = read.choice(
    "EXCHANGE_TRACK", "in-response", ("all", "in-response", "from-people", "from-records", "none")
)
#: Whether the server's certificate is verified. Leave it on.
EXCHANGE_VERIFY_TLS = read.boolean("EXCHANGE_VERIFY_TLS", True)

# --- Logging and web ----------------------------------------------------------------------------

#: debug, info, warning or error.
LOG_LEVEL = read.choice("LOG_LEVEL", "info", ("debug", "info", "warning", "error"))
#: text for people, json for machines.
LOG_FORMAT = read.choice("LOG_FORMAT", "text", ("text", "json"))
#: Shows details of errors in the browser. Never in production.
DEBUG = read.boolean("DEBUG", False)
#: Names under which the web application is reached.
ALLOWED_HOSTS = read.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
#: Origins of forms behind a TLS proxy, for example https://sync.example.com
CSRF_TRUSTED_ORIGINS = read.names("CSRF_TRUSTED_ORIGINS", "")
#: Cookies travel over HTTPS only. Set it to true behind TLS.
SECURE_COOKIES = read.boolean("SECURE_COOKIES", False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
#: A proxy in front ends TLS and sets X-Forwarded-Proto itself; without one anybody could.
BEHIND_TLS_PROXY = read.boolean("BEHIND_TLS_PROXY", False)
if BEHIND_TLS_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
#: Address and port that `syncservice up` serves the web pages on.
WEB_BIND = read.text("WEB_BIND", "127.0.0.1:8000")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "syncservice.crm",
    "syncservice.mailboxes",
    "syncservice.alerts",
    "syncservice.console",
]
MIDDLEWARE = [
    "syncservice.console.headers.SecurityHeaders",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "syncservice.console.outage.DatabaseOutage",
]
ROOT_URLCONF = "syncservice.console.urls"
WSGI_APPLICATION = "syncservice.console.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_USER_MODEL = "crm.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "overview"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
#: Fold of everything stored: UTC (DESIGN invariant 12).
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("nl", _("Dutch"))]
LOCALE_PATHS = [PACKAGE / "locale"]
STATIC_URL = "static/"
# Found through the app folders, so an installed wheel needs no collectstatic.
WHITENOISE_USE_FINDERS = True
LOGGING_CONFIG = None  # syncservice.logs sets logging up for every process in one way
