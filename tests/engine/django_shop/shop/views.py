"""Pages of the shop."""

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.utils import timezone

from shop.models import Item


def home(request):
    """Count the visits of this session."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    items = list(Item.objects.order_by("-id").values("id", "name", "code", "added")[:5])
    return JsonResponse({"visits": request.session["visits"], "items": items, "token": get_token(request)})


def add(request):
    """Add an item, by a form with its token."""
    with transaction.atomic():
        with transaction.atomic():  # a savepoint, which Django names after the thread
            item = Item.objects.create(name=request.POST["name"])
        count = Item.objects.count()
    return JsonResponse({"id": item.id, "code": item.code, "count": count}, status=201)


def item(request, number):
    """Show one item."""
    try:
        found = Item.objects.get(pk=number)
    except Item.DoesNotExist:
        raise Http404(f"no item {number}") from None
    return JsonResponse({"name": found.name, "added": found.added})


def stream(request):
    """Send the names one by one."""
    return StreamingHttpResponse(f"{one.name} {timezone.now()}\n" for one in Item.objects.all()[:3])


def broken(request):
    """Raise."""
    raise ValueError(f"at {timezone.now()}")


@login_required(login_url="/admin/login/")
def private(request):
    """Greet who has logged in."""
    return HttpResponse(f"{request.user} {request.user.last_login}")
