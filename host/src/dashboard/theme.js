// Light or dark: as the system has it, or as was chosen here.

const KEY = 'bulkhead-theme';

/** Goes by the choice that the list offers, and remembers it. */
export function follow(list) {
  list.value = localStorage.getItem(KEY) ?? '';
  const apply = () => {
    document.documentElement.dataset.theme = list.value;
    localStorage.setItem(KEY, list.value);
  };
  list.addEventListener('change', apply);
  apply();
}
