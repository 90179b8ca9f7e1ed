/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

/* The files that pages refer to, made arrays by embed.py. */
extern const unsigned char style_css[], live_js[], icon_svg[];
extern const size_t style_css_size, live_js_size, icon_svg_size;
