"""Colours and type of the Studio: system fonts only, nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

FOLDER = Path(__file__).parent
STYLE = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("studio.css", "menu.css", "dock.css"))

SANS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def theme() -> gr.themes.Base:
    """The theme that goes to `launch`."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.indigo,
        secondary_hue=gr.themes.colors.indigo,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#f4f5f8",
        body_background_fill_dark="#101217",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_padding="0px",
        block_shadow="none",
        block_shadow_dark="none",
        block_label_text_color="#334155",
        block_title_text_color="#334155",
        block_title_text_color_dark="#cbd5e1",
        block_title_text_weight="500",
        block_title_text_size="13px",
        body_text_color="#16181d",
        body_text_color_dark="#eceff4",
        body_text_color_subdued="#475569",
        body_text_color_subdued_dark="#a7b0bf",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1d2129",
        # Edges of controls have 3:1 with what lies around them, text has 4.5:1.
        input_border_color="#7f8a9d",
        input_border_color_dark="#6f7a90",
        checkbox_border_color="#7f8a9d",
        checkbox_border_color_dark="#6f7a90",
        input_placeholder_color="#5b6678",
        input_placeholder_color_dark="#98a2b3",
        input_border_width="1px",
        input_border_width_dark="1px",
        button_primary_background_fill="#4338ca",
        button_primary_background_fill_hover="#3730a3",
        button_primary_background_fill_dark="#5d60ea",
        button_primary_background_fill_hover_dark="#5053dd",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#262b35",
        button_secondary_background_fill_hover="#eef0f5",
        button_secondary_background_fill_hover_dark="#303642",
        button_secondary_border_color="#7f8a9d",
        button_secondary_border_color_dark="#6f7a90",
        button_secondary_text_color="#16181d",
        button_secondary_text_color_dark="#eceff4",
        button_border_width="1px",
        slider_color="#4338ca",
        slider_color_dark="#818cf8",
    )
