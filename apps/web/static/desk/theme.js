// The look of the desk: light, dark, or as the device has it. The server writes it into the page; a click changes it.
"use strict";
(() => {
    const ORDER = ["auto", "light", "dark"];
    const WORDS = { auto: "as this device has it", light: "light", dark: "dark" };
    const root = document.documentElement;
    const button = document.getElementById("theme");

    function choose(theme) {
        root.dataset.theme = theme;
        document.querySelector("meta[name=color-scheme]").content = theme === "auto" ? "light dark" : theme;
        button.setAttribute("aria-label", `Change the look: ${WORDS[theme]}`);
        const secure = location.protocol === "https:" ? "; Secure" : "";
        document.cookie = `desk_theme=${theme}; path=/; max-age=31536000; SameSite=Lax${secure}`;
    }

    button.addEventListener("click", () => {
        choose(ORDER[(ORDER.indexOf(root.dataset.theme) + 1) % ORDER.length]);
    });
})();
