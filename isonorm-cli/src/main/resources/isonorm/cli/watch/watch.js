// Asks for what is new: adds it to the plots, and to the table, and loads the page again where there are other runs.
(() => {
  const { groups, draw, theme } = globalThis.isonorm;
  const says = document.querySelector('header p');
  const what = says.textContent;
  const body = document.querySelector('tbody');
  const selects = () => Array.from(document.querySelectorAll('select'));
  let cursor = '{{cursor}}';

  function add(at, plot) {
    const shown = at[0][at[1]];
    if (!plot.grows) {
      at[0][at[1]] = plot;
      return;
    }
    shown.logarithmic = plot.logarithmic;
    plot.curves.forEach((curve, i) => Object.assign(shown.curves[i], curve, { points: shown.curves[i].points.concat(curve.points) }));
    shown.marks = shown.marks.concat(plot.marks);
  }

  function table(rows) {
    body.replaceChildren(...rows.map(row => {
      const line = document.createElement('tr');
      line.append(...row.map(cell => Object.assign(document.createElement('td'), { textContent: cell })));
      return line;
    }));
  }

  // What the reader chose outlives loading the page again.
  function reload() {
    sessionStorage.setItem('chosen', JSON.stringify({ theme: document.documentElement.dataset.theme, scroll: scrollY,
      plots: selects().map(select => select.value) }));
    location.reload();
  }

  const chosen = JSON.parse(sessionStorage.getItem('chosen') || 'null');
  if (chosen) {
    sessionStorage.removeItem('chosen');
    selects().forEach(select => {
      const option = Array.from(select.options).find(each => chosen.plots.includes(each.value));
      if (option) select.value = option.value;
    });
    theme(chosen.theme);
    scrollTo(0, chosen.scroll);
  }

  async function ask() {
    try {
      const answer = await fetch('data?since=' + cursor);
      if (!answer.ok) throw new Error(answer.statusText);
      const news = await answer.json();
      if (news.anew) {
        reload();
        return;
      }
      cursor = news.cursor;
      news.groups.forEach((group, g) => group.forEach((plot, p) => add([groups[g], p], plot)));
      if (news.groups.length) draw(false);
      table(news.table);
      says.textContent = what;
    } catch (e) {
      says.textContent = what + ' \u2013 isonorm watch does not answer; this is what it last said';
    }
    setTimeout(ask, 2000);
  }

  setTimeout(ask, 1000);
})();
