// Questions: shown in a dialog over the page, closed without doing anything by Esc or the first button.
"use strict";
(() => {
    const dialog = document.getElementById("dialog");
    const body = document.getElementById("dialog-body");
    let opener = null;

    document.addEventListener("htmx:beforeRequest", (event) => {
        if (event.detail.target === body) opener = event.detail.elt.id;
    });

    document.addEventListener("htmx:beforeSwap", (event) => {
        // An answer that is no question (signed out, no right): show it as the page that it is.
        if (event.detail.target !== body || event.detail.xhr.responseText.includes('id="dialog-title"')) return;
        event.detail.shouldSwap = false;
        const asked = event.detail.elt.href || event.detail.pathInfo.requestPath;
        location.assign(asked);
    });

    document.addEventListener("htmx:afterSwap", (event) => {
        if (event.detail.target !== body) return;
        for (const form of body.querySelectorAll("form[data-steps]")) arm(form);
        if (!dialog.open) dialog.showModal();
        (body.querySelector("[autofocus]") || body.querySelector("input:not([type=hidden]), select") || body).focus();
    });

    // The first step of a dangerous question unlocks the button that is the second.
    function arm(form) {
        const box = form.querySelector("input[name=sure]");
        const button = form.querySelector("[data-armed]");
        const follow = () => { button.disabled = !box.checked; };
        box.checked = false;
        box.addEventListener("change", follow);
        follow();
    }

    document.addEventListener("click", (event) => {
        const closer = event.target.closest("[data-close]");
        if (closer && dialog.contains(closer)) {
            event.preventDefault();
            dialog.close();
        }
    });

    // What is sent once is not sent twice by an impatient second click.
    document.addEventListener("submit", (event) => {
        for (const button of event.target.querySelectorAll("button[type=submit]")) {
            if (event.target.method === "post") setTimeout(() => { button.disabled = true; });
        }
    });

    dialog.addEventListener("close", () => {
        body.replaceChildren();
        document.body.dispatchEvent(new CustomEvent("desk:asked"));
        const element = opener && document.getElementById(opener);
        if (element) element.focus();
    });

    for (const form of document.querySelectorAll("form[data-steps]")) arm(form);
})();
