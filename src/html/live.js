// SPDX-License-Identifier: Apache-2.0
// Keeps a page up to date: reads its URL again, exchanges <main>.
(() => {
  const said = document.getElementById('said'), old = document.getElementById('old');
  const find = (root, what) => root.querySelectorAll(what), two = n => String(n).padStart(2, '0');
  let etag = '', asking, again, events, soon, skew = 0, turn = 0;

  const since = e => Math.round((Date.now() + skew - Date.parse(e.dateTime)) / 1000);
  const words = s => s < 60 ? `${s} s` : s < 3600 ? `${s / 60 | 0} min` : s < 86400 ? `${s / 3600 | 0} h` : `${s / 86400 | 0} d`;
  const clock = s => s < 3600 ? `${s / 60 | 0}m${two(s % 60)}s` : `${s / 3600 | 0}h${two((s / 60 | 0) % 60)}m`;

  const tick = () => {
    for (const e of find(document, 'time[data-runs]')) e.textContent = clock(Math.max(0, since(e)));
    for (const e of find(document, 'time[data-ago]')) {
      const ago = since(e) < 0 ? '' : `${words(since(e))} ago`;
      if (e.closest('table')) { e.title = ago; continue; }
      e.dataset.ago ||= e.textContent;
      e.textContent = e.dataset.ago + (ago && ` (${ago})`);
    }
  };

  const take = text => {
    const page = new DOMParser().parseFromString(text, 'text/html'), main = page.querySelector('main');
    const was = document.querySelector('main'), at = document.activeElement, href = was.contains(at) && at.getAttribute('href');
    if (!main) return;
    for (const d of find(was, 'details[id]')) {
      const same = page.getElementById(d.id);
      if (same) same.open = d.open;
    }
    if (page.title !== document.title) said.textContent = document.title = page.title;
    was.replaceWith(main);
    if (href) main.querySelector(`a[href="${CSS.escape(href)}"]`)?.focus({preventScroll: true});
    tick();
  };

  const ask = async () => {
    if (asking) again = true;
    if (asking || document.hidden || !getSelection().isCollapsed) return; // somebody copies
    asking = true;
    try {
      const answer = await fetch(location, {signal: AbortSignal.timeout(1e4), headers: etag ? {'If-None-Match': etag} : {}});
      old.hidden = answer.ok || answer.status === 304;
      const ahead = Date.parse(answer.headers.get('Date')) - Date.now();
      skew = Math.abs(ahead) > 2000 ? ahead : 0;
      if (answer.ok) {
        etag = answer.headers.get('ETag') || '';
        take(await answer.text());
      }
    } catch {
      old.hidden = false;
    }
    asking = false;
    if (again) again = void ask();
  };

  const news = () => { clearTimeout(soon); soon = setTimeout(ask, 200); };
  const look = () => {
    events?.close();
    if (document.hidden) return; // few connections
    events = new EventSource('/api/v1/events');
    for (const name of ['hello', 'deployment', 'step', 'progress']) events.addEventListener(name, news);
    ask();
  };
  setInterval(() => {
    tick();
    if (++turn % 30 === 0 && events?.readyState === 2) look(); // full
    else if (turn % (events?.readyState === 1 ? 30 : 5) === 0) ask();
  }, 1000);
  document.addEventListener('visibilitychange', look);
  tick();
  look();
})();
