// Keeps the overview fresh without a flicker: only what changed is touched, so focus, selection
// and scrolling stay. Without JavaScript the page reloads itself now and then.
"use strict";

const region = document.querySelector("[data-renew-seconds]");

function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== fresh.childNodes.length
      || !old.hasChildNodes()) {
    old.replaceWith(fresh);
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  const pairs = [...old.childNodes].map((child, index) => [child, fresh.childNodes[index]]);
  for (const [child, next] of pairs) renew(child, next);
}

async function renewPage() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(10000) });
    if (answer.redirected) return location.reload(); // the session ended
    if (!answer.ok) throw new Error(answer.statusText);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    renew(region, page.querySelector("[data-renew-seconds]"));
    document.body.classList.remove("is-stale");
  } catch {
    document.body.classList.add("is-stale");
  }
}

(async () => {
  for (;;) {
    await new Promise((done) => setTimeout(done, region.dataset.renewSeconds * 1000));
    await renewPage();
  }
})();
