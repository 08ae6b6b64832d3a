// Keyboard shortcuts. None of them changes anything: the one for stopping only opens its question.
"use strict";
(() => {
    const help = document.getElementById("keys");
    let going = 0; // until when a letter after g leads to a page

    function typing(target) {
        return target.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
    }

    document.getElementById("help").addEventListener("click", () => help.showModal());
    document.addEventListener("keydown", (event) => {
        if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
        if (document.querySelector("dialog[open]")) return;
        if (Date.now() < going) {
            going = 0;
            const link = document.querySelector(`.side a[data-key="${CSS.escape(event.key)}"]`);
            if (link) link.click();
            return;
        }
        if (event.key === "g") going = Date.now() + 1500;
        else if (event.key === "?") help.showModal();
        else if (event.key === "t") document.getElementById("theme").click();
        else if (event.key === "x") document.getElementById("stop")?.click();
    });

    document.addEventListener("click", (event) => {
        for (const menu of document.querySelectorAll("details.menu[open]")) {
            if (!menu.contains(event.target)) menu.open = false;
        }
    });
})();
