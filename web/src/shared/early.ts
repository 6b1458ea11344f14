// SPDX-License-Identifier: Apache-2.0
// early - runs before the first paint: a theme that was chosen here before is on the page from its first frame.
import { applyTheme, storedTheme } from "./theme.ts";

applyTheme(storedTheme());
