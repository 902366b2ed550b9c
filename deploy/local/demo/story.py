"""The main job, as a frontend would do it: set up, choose, align, preview, run, look, decide; for images and texts."""

from dataclasses import dataclass
from pathlib import Path

from deploy.local.demo import images, texts
from deploy.local.demo.attempt import Desk
from deploy.local.demo.client import Gateway, subscribed


@dataclass(frozen=True)
class Setting:
    gateway: Gateway
    notifier_url: str
    photographs: Path
    texts: Path
    target: Path


async def tell(setting: Setting) -> None:
    await _tell_images(setting)
    await _tell_texts(setting)


async def _tell_images(setting: Setting) -> None:
    gateway = setting.gateway
    project = await images.set_up(gateway, setting.photographs)
    path = f"/v1/projects/{project['id']}"
    async with subscribed(gateway, setting.notifier_url, f"project:{project['id']}") as channel:
        runs = await images.label(Desk(gateway, channel, path))
    pre_labels = await images.look(gateway, runs)
    await images.draw_all(gateway, path, pre_labels, setting.photographs, setting.target)
    await images.decide(gateway, path, pre_labels)


async def _tell_texts(setting: Setting) -> None:
    gateway = setting.gateway
    project = await texts.set_up(gateway, setting.texts)
    path = f"/v1/projects/{project['id']}"
    async with subscribed(gateway, setting.notifier_url, f"project:{project['id']}") as channel:
        runs = await texts.label(Desk(gateway, channel, path))
    await texts.look(gateway, runs, setting.texts)
