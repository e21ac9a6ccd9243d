// What keeps somebody out who sees little, hears the page, or has no mouse: each as a line of text.
(() => {
  const found = [];
  const all = (selector) => [...document.querySelectorAll(selector)].filter((it) => it.checkVisibility());
  const told = (it) => `${it.tagName.toLowerCase()}${it.id ? `#${it.id}` : ''} ${(it.textContent ?? '').trim().slice(0, 40)}`;
  const name = (it) => (it.getAttribute('aria-label') ?? it.textContent ?? '').trim() || it.querySelector('img[alt]')?.alt;
  for (const it of all('input, select, textarea')) {
    if (![...it.labels].some((label) => label.textContent.trim()) && !it.getAttribute('aria-label')) found.push(`no label: ${told(it)}`);
  }
  for (const it of all('button, a[href], summary')) if (!name(it)) found.push(`no name: ${told(it)}`);
  for (const it of all('img')) if (!it.hasAttribute('alt')) found.push(`no alt: ${it.src}`);
  for (const it of all('svg')) if (it.getAttribute('aria-hidden') !== 'true' && !it.getAttribute('aria-label')) found.push('a drawing without a name');
  for (const it of all('table')) if (!it.caption?.textContent || !it.querySelector('th[scope=col]')) found.push(`no caption or heads: ${told(it)}`);
  const levels = all('h1, h2, h3, h4').map((it) => Number(it.tagName[1]));
  if (levels.filter((it) => it === 1).length !== 1) found.push(`first headings: ${levels}`);
  levels.forEach((level, index) => { if (level > (levels[index - 1] ?? 0) + 1) found.push(`headings leap: ${levels}`); });
  const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push(`two have the id ${id}`);
  for (const it of document.querySelectorAll('[aria-labelledby], [aria-describedby]')) {
    const refs = `${it.getAttribute('aria-labelledby') ?? ''} ${it.getAttribute('aria-describedby') ?? ''}`.split(' ').filter(Boolean);
    for (const ref of refs) if (!document.getElementById(ref)) found.push(`nothing has the id ${ref}`);
  }
  for (const it of ['main', 'header', 'nav[aria-label]']) if (!all(it).length) found.push(`no landmark ${it}`);

  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const parse = (css) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = css;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return { rgb: [r, g, b], alpha: a / 255 };
  };
  const ground = (it) => {
    for (let at = it; at; at = at.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(at).backgroundColor);
      if (alpha > 0.99) return rgb;
    }
    return [255, 255, 255];
  };
  const light = (rgb) => rgb.map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4))
    .reduce((sum, it, index) => sum + it * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const it = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !it.checkVisibility() || it.closest('svg, option')) continue;
    texts += 1;
    const style = getComputedStyle(it);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    const ratio = contrast(parse(style.color).rgb, ground(it));
    if (ratio < (isLarge ? 3 : 4.5)) found.push(`contrast ${ratio.toFixed(2)}: ${told(it)}`);
  }
  if (texts < 10) found.push(`only ${texts} texts were looked at`);
  return [...new Set(found)];
})()
