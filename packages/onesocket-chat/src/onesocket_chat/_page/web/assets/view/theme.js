import { readSetting, writeSetting } from '../net/storage.js'

const THEMES = ['system', 'light', 'dark']

/** The chosen colours: `system`, `light` or `dark`. */
export function theme() {
  const chosen = readSetting('theme', 'system')
  return THEMES.includes(chosen) ? chosen : 'system'
}

/** Use the chosen colours. */
export function applyTheme() {
  document.documentElement.dataset.theme = theme()
}

/** Choose colours. */
export function setTheme(name) {
  writeSetting('theme', name === 'system' ? null : name)
  applyTheme()
}
