'use strict';
// Draws the plots of a page: lines and heat maps, in the colours of the theme, as wide as there is room.
(() => {
  const root = document.documentElement;
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const groups = JSON.parse(document.getElementById('plots').textContent);
  const ramp = ['#440154', '#3b528b', '#21918c', '#5ec962', '#fde725'];
  const cross = 'path://M2 0 L5 3 L8 0 L10 2 L7 5 L10 8 L8 10 L5 7 L2 10 L0 8 L3 5 L0 2 Z';
  const charts = [];

  const colour = name => getComputedStyle(root).getPropertyValue('--' + name).trim();
  const number = value => {
    const size = Math.abs(value);
    if (value === 0 || Number.isInteger(value) && size < 1e6) return String(value);
    return size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace(/\.?0+e/, 'e') : String(Number(value.toPrecision(4)));
  };
  const escape = text => String(text).replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[c]);
  const axis = (name, formatter) => ({
    name, nameLocation: 'middle', nameTextStyle: { color: colour('soft') }, axisLabel: { color: colour('soft'), formatter },
    axisLine: { lineStyle: { color: colour('line') } }, axisTick: { show: false }, splitLine: { lineStyle: { color: colour('line') } },
  });
  const box = () => ({ confine: true, backgroundColor: colour('card'), borderColor: colour('line'), textStyle: { color: colour('text'), fontSize: 13 } });

  function lines(plot) {
    const all = plot.curves.flatMap(curve => curve.points);
    const values = all.map(point => point[1]);
    const least = values.reduce((a, b) => Math.min(a, b), Infinity);
    const most = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const legend = plot.curves.length > 1;
    return {
      animation: false,
      grid: { left: 62, right: 18, top: legend ? 44 : 16, bottom: 46 },
      legend: { show: legend, data: plot.curves.filter(curve => curve.points.length).map(curve => curve.name),
        type: 'scroll', top: 4, textStyle: { color: colour('text') }, pageTextStyle: { color: colour('soft') },
        pageIconColor: colour('accent'), pageIconInactiveColor: colour('line') },
      tooltip: { ...box(), trigger: 'axis',
        formatter: points => plot.x + ' ' + number(points[0].value[0]) + points.filter(point => point.seriesType === 'line').map(point =>
          '<br>' + point.marker + escape(point.seriesName) + ' &nbsp;<b>' + number(point.value[1]) + '</b>').join('') },
      xAxis: { ...axis(plot.x, number), type: plot.logarithmicX ? 'log' : 'value', nameGap: 28, min: 'dataMin', max: 'dataMax',
        ...(plot.logarithmicX ? {} : { minInterval: 1 }), splitLine: { show: false } },
      yAxis: { ...axis(plot.y, number), type: plot.logarithmic ? 'log' : 'value', scale: plot.near, nameGap: 46,
        min: plot.logarithmic ? 10 ** Math.floor(Math.log10(least)) : null, max: plot.logarithmic ? 10 ** Math.ceil(Math.log10(most)) : null },
      dataZoom: all.length > 400 ? [{ type: 'inside' }] : [],
      series: plot.curves.map(curve => ({
        type: 'line', name: curve.name, data: curve.points, symbolSize: 7, showSymbol: curve.pointsShown, symbol: 'circle', sampling: 'lttb',
        itemStyle: { color: colour('c' + curve.colour % 7) },
        lineStyle: { width: 2, color: colour('c' + curve.colour % 7), type: curve.dashed ? 'dashed' : 'solid' },
      })).concat({
        type: 'scatter', name: 'marks', z: 5, tooltip: { show: false }, data: plot.marks.map(mark => ({ value: [mark.x, mark.y],
          symbol: mark.end ? cross : 'diamond', symbolSize: mark.end ? 13 : 10, label: { show: false, formatter: mark.text, position: 'top',
            color: colour('text') }, emphasis: { label: { show: true } },
          itemStyle: { color: colour('mark'), borderColor: colour('card'), borderWidth: 1 } })),
      }),
    };
  }

  function heat(plot) {
    const rows = plot.cells.map(cell => cell[1]); // every whole number, since one without a cell has a place too
    const first = rows.reduce((a, b) => Math.min(a, b), Infinity);
    const last = rows.reduce((a, b) => Math.max(a, b), first);
    const xs = plot.columns;
    const ys = rows.length ? Array.from({ length: last - first + 1 }, (_, i) => String(first + i)) : [];
    const values = plot.cells.map(cell => cell[2]);
    const least = values.reduce((a, b) => Math.min(a, b), 0);
    const most = values.reduce((a, b) => Math.max(a, b), least);
    return {
      animation: false,
      grid: { left: 52, right: 18, top: 12, bottom: 96 },
      tooltip: { ...box(), trigger: 'item',
        formatter: point => plot.x + ' ' + xs[point.value[0]] + ', ' + plot.y + ' ' + ys[point.value[1]] + '<br>' + plot.value + ' <b>' +
          number(point.value[2]) + '</b>' },
      xAxis: { ...axis(plot.x), type: 'category', data: xs, nameGap: 26, splitLine: { show: false } },
      yAxis: { ...axis(plot.y), type: 'category', data: ys, nameGap: 34, splitLine: { show: false } },
      visualMap: { min: least, max: most > least ? most : least + 1, calculable: true, orient: 'horizontal', left: 'center', bottom: 0, itemWidth: 14, itemHeight: 180,
        precision: 3, inRange: { color: ramp }, textStyle: { color: colour('soft') }, formatter: number },
      series: [{ type: 'heatmap', data: plot.cells.map(cell => [cell[0], cell[1] - first, cell[2]]),
        itemStyle: { borderColor: colour('card'), borderWidth: xs.length > 40 ? 0 : 1 }, emphasis: { itemStyle: { borderColor: colour('text') } } }],
    };
  }

  // What a reader zoomed into and hid stays where only values are new.
  function draw(anew = true) {
    charts.forEach(({ chart, plots, select, note }) => {
      const plot = plots[select ? select.selectedIndex : 0];
      note.textContent = plot.note;
      chart.setOption(plot.kind === 'heat' ? heat(plot) : lines(plot), anew ? true : { replaceMerge: ['series'] });
    });
  }

  function theme(name) {
    root.dataset.theme = name;
    draw();
  }

  root.dataset.theme = dark.matches ? 'dark' : 'light';
  document.querySelectorAll('.plots').forEach((section, index) => {
    const plots = groups[index];
    const place = section.querySelector('.plot');
    const select = section.querySelector('select');
    charts.push({ chart: echarts.init(place, null, { renderer: 'svg' }), plots, select, note: section.querySelector('.note') });
    if (select) select.addEventListener('change', () => draw());
    new ResizeObserver(() => charts[index].chart.resize()).observe(place);
  });
  dark.addEventListener('change', () => theme(dark.matches ? 'dark' : 'light'));
  document.getElementById('theme').addEventListener('click', () => theme(root.dataset.theme === 'dark' ? 'light' : 'dark'));
  draw();
  globalThis.isonorm = { groups, draw, theme };
})();
