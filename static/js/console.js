// Comforts on top of pages that work without: nothing here is needed to get anything done.

import { copyButtons } from "./copy.js";
import { askInDialogs } from "./ask.js";
import { themeSwitch } from "./theme.js";
import { smallHelps } from "./helps.js";

document.documentElement.classList.remove("no-js");
copyButtons();
askInDialogs();
themeSwitch();
smallHelps();
