"""People, roles and teams by API: for administrators who have signed in; teams are for everybody to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import operations
from lifecycle.domain.permissions import Action, Role, require
from lifecycle.models import RegisteredModel, Team
from portal.access import actor_of, model_for, person_named, team_for
from portal.accounts.models import RoleAssignment, User
from portal.accounts.people import KINDS, people_matching, teams
from portal.api.base import APIView, ListAPIView
from portal.api.pagination import ByName, Newest
from portal.api.serializers import ReasonSerializer
from portal.api.views import valid


class ByUsername(Newest):
    ordering = "username"


class RoleSerializer(serializers.ModelSerializer[RoleAssignment]):
    team = serializers.SlugField(source="team.slug", default=None, allow_null=True, help_text="null: for all models.")
    given_by = serializers.CharField(help_text="The sign-in that the role comes from; empty: an administrator gave it.")

    class Meta:
        model = RoleAssignment
        fields = ("role", "team", "given_by")


class PersonSerializer(serializers.ModelSerializer[User]):
    name = serializers.CharField(source="get_full_name")
    email = serializers.CharField(help_text="Empty where none is known.")
    active = serializers.BooleanField(source="is_active")
    shared = serializers.BooleanField(source="is_shared", help_text="Several people use it, so it decides nothing.")
    service = serializers.BooleanField(source="is_service", help_text="It acts by tokens, and cannot sign in.")
    roles = RoleSerializer(source="role_assignments", many=True)

    class Meta:
        model = User
        fields = ("username", "name", "email", "active", "shared", "service", "roles", "date_joined", "last_login")


class NewPersonSerializer(ReasonSerializer):
    username = serializers.CharField(max_length=150)
    name = serializers.CharField(max_length=301, required=False, default="", allow_blank=True)
    email = serializers.CharField(max_length=254, required=False, default="", allow_blank=True)


class PersonChangeSerializer(ReasonSerializer):
    """What is left out stays as it is."""

    name = serializers.CharField(max_length=301, required=False, allow_blank=True)
    email = serializers.CharField(max_length=254, required=False, allow_blank=True)
    active = serializers.BooleanField(required=False)
    shared = serializers.BooleanField(required=False)


class RoleChangeSerializer(ReasonSerializer):
    role = serializers.ChoiceField(choices=[role.value for role in Role if role != Role.SERVICE])
    team = serializers.SlugRelatedField(
        slug_field="slug", queryset=Team.objects.all(), required=False, default=None, allow_null=True
    )


class TeamSerializer(serializers.ModelSerializer[Team]):
    class Meta:
        model = Team
        fields = ("slug", "name")


class MemberSerializer(serializers.ModelSerializer[RoleAssignment]):
    username = serializers.CharField(source="user.username")
    name = serializers.CharField(source="user.display_name")

    class Meta:
        model = RoleAssignment
        fields = ("username", "name", "role")


class TeamDetailSerializer(TeamSerializer):
    members = serializers.SerializerMethodField()
    models = serializers.SerializerMethodField(help_text="Of the models that the team owns, the first thousand.")

    class Meta:
        model = Team
        fields = ("slug", "name", "members", "models")

    @extend_schema_field(MemberSerializer(many=True))
    def get_members(self, team: Team) -> Any:
        rows = RoleAssignment.objects.filter(team=team).select_related("user").order_by("user__username", "role")
        return MemberSerializer(rows[:1000], many=True).data

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_models(self, team: Team) -> list[str]:
        return list(RegisteredModel.objects.filter(team=team, removed_at=None).values_list("name", flat=True)[:1000])


class NewTeamSerializer(ReasonSerializer):
    name = serializers.CharField(max_length=100)


class OwnerSerializer(serializers.Serializer[Any]):
    model = serializers.CharField()
    team = TeamSerializer(allow_null=True)


class OwnerChangeSerializer(ReasonSerializer):
    team = serializers.SlugRelatedField(slug_field="slug", queryset=Team.objects.all(), allow_null=True)


# ---------------------------------------------------------------- people


class People(ListAPIView[User]):
    serializer_class = PersonSerializer
    pagination_class = ByUsername

    def get_queryset(self) -> QuerySet[User]:
        asked = self.request.GET
        return people_matching(asked.get("search", ""), asked.get("kind", ""), asked.get("role", ""))

    @extend_schema(
        parameters=[
            OpenApiParameter("search", description="Words of a user name, a name or an e-mail address."),
            OpenApiParameter("kind", enum=list(KINDS)),
            OpenApiParameter("role", enum=[role.value for role in Role]),
        ]
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Everybody who has an account, and the service accounts."""
        require(actor_of(request), Action.MANAGE_PEOPLE)
        return super().get(request, *args, **kwargs)

    @extend_schema(request=NewPersonSerializer, responses={201: PersonSerializer})
    def post(self, request: Request) -> Response:
        """A new account without a password and without roles."""
        body = valid(NewPersonSerializer, request)
        person = operations.add_person(**body, actor=actor_of(request), now=timezone.now())
        return Response(PersonSerializer(person).data, status=201)


class Person(APIView):
    @extend_schema(responses=PersonSerializer)
    def get(self, request: Request, username: str) -> Response:
        """One account with its roles."""
        require(actor_of(request), Action.MANAGE_PEOPLE)
        return Response(PersonSerializer(person_named(request, username)).data)

    @extend_schema(request=PersonChangeSerializer, responses=PersonSerializer)
    def patch(self, request: Request, username: str) -> Response:
        """Change what is given. Who is not active is signed out at once, and tokens of theirs open nothing."""
        person = person_named(request, username)
        body = valid(PersonChangeSerializer, request)
        changed = operations.change_person(person=person, **body, actor=actor_of(request), now=timezone.now())
        return Response(PersonSerializer(changed).data)


class RoleChange(APIView):
    """Give or take a role: ``operation`` is given by the address."""

    operation: Callable[..., None] = operations.give_role

    @extend_schema(request=RoleChangeSerializer, responses=PersonSerializer)
    def post(self, request: Request, username: str) -> Response:
        person = person_named(request, username)
        body = valid(RoleChangeSerializer, request)
        type(self).operation(
            person=person,
            role=Role(body["role"]),
            team=body["team"],
            reason=body["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return Response(PersonSerializer(person_named(request, username)).data)


class GiveRole(RoleChange):
    operation = staticmethod(operations.give_role)


class TakeRole(RoleChange):
    operation = staticmethod(operations.take_role)


# ---------------------------------------------------------------- teams


class Teams(ListAPIView[Team]):
    """The teams that models can belong to."""

    serializer_class = TeamSerializer
    pagination_class = ByName

    def get_queryset(self) -> QuerySet[Team]:
        return teams()

    @extend_schema(request=NewTeamSerializer, responses={201: TeamDetailSerializer})
    def post(self, request: Request) -> Response:
        """A new team, of nobody and with no models."""
        body = valid(NewTeamSerializer, request)
        return Response(
            TeamDetailSerializer(operations.add_team(**body, actor=actor_of(request), now=timezone.now())).data,
            status=201,
        )


class TeamDetail(APIView):
    @extend_schema(responses=TeamDetailSerializer)
    def get(self, request: Request, slug: str) -> Response:
        """A team with its people and its models."""
        return Response(TeamDetailSerializer(team_for(request, slug)).data)

    @extend_schema(request=NewTeamSerializer, responses=TeamDetailSerializer)
    def patch(self, request: Request, slug: str) -> Response:
        """Give it another name; its address stays."""
        team = team_for(request, slug)
        body = valid(NewTeamSerializer, request)
        renamed = operations.rename_team(team=team, **body, actor=actor_of(request), now=timezone.now())
        return Response(TeamDetailSerializer(renamed).data)


class ModelTeam(APIView):
    @extend_schema(responses=OwnerSerializer)
    def get(self, request: Request, name: str) -> Response:
        """Which team owns the model."""
        return Response(_owner(model_for(request, name)))

    @extend_schema(request=OwnerChangeSerializer, responses=OwnerSerializer)
    def post(self, request: Request, name: str) -> Response:
        """Give the model to a team, or with null to nobody in particular: then roles for all models are what counts."""
        model = model_for(request, name)
        body = valid(OwnerChangeSerializer, request)
        operations.give_model(model=model, **body, actor=actor_of(request), now=timezone.now())
        return Response(_owner(model))


def _owner(model: RegisteredModel) -> dict[str, Any]:
    return {"model": model.name, "team": TeamSerializer(model.team).data if model.team else None}
