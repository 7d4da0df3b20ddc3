// @ts-check
// A finished track: its waveform to click and play, and the browser's own controls below.

import { svg } from './svg.js';
import { outline } from './wav.js';

const BARS = 128;

/** @param {number} seconds */
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** @param {Float32Array} peaks */
function bars(peaks) {
  let path = '';
  peaks.forEach((peak, i) => {
    const height = Math.max(1.5, peak * 98);
    path += `M${i + 0.18} ${(100 - height) / 2}h.64v${height}h-.64z`;
  });
  const shape = svg('path', { d: path });
  return svg('svg', { viewBox: `0 0 ${BARS} 100`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, shape);
}

/**
 * @param {string} url of a WAV file
 * @param {string} name of the track
 * @returns {HTMLElement}
 */
export function waveform(url, name) {
  const audio = document.createElement('audio');
  audio.controls = true;
  // A long list of old tracks is not downloaded before somebody looks at it.
  audio.preload = 'none';
  audio.src = url;
  audio.setAttribute('aria-label', name);

  const slider = document.createElement('div');
  slider.className = 'wave';
  slider.tabIndex = 0;
  slider.role = 'slider';
  slider.ariaLabel = `Play ${name} from`;
  slider.ariaValueMin = '0';
  const played = document.createElement('div');
  played.className = 'played';

  const player = document.createElement('div');
  player.className = 'player';
  player.append(slider, audio);

  let duration = 0;

  const show = () => {
    const at = audio.currentTime;
    slider.ariaValueNow = String(Math.floor(at));
    slider.ariaValueMax = String(Math.floor(duration));
    slider.ariaValueText = `${clock(at)} of ${clock(duration)}`;
    slider.dataset.clock = audio.paused && at === 0 ? clock(duration) : `${clock(at)} / ${clock(duration)}`;
    player.style.setProperty('--played', String(duration ? Math.min(1, at / duration) : 0));
    player.classList.toggle('is-playing', !audio.paused);
  };

  const play = () => {
    audio.play().catch((error) => console.warn('ProgRock: cannot play', error));
  };

  /** @param {number} seconds */
  const seek = (seconds) => {
    audio.currentTime = Math.min(Math.max(0, seconds), duration);
    show();
  };

  let frame = 0;
  const follow = () => {
    show();
    frame = audio.paused ? 0 : requestAnimationFrame(follow);
  };
  audio.addEventListener('play', () => {
    for (const other of document.querySelectorAll('audio')) if (other !== audio) other.pause();
    if (!frame) follow();
  });
  for (const type of ['pause', 'seeked', 'ended', 'timeupdate']) audio.addEventListener(type, show);
  audio.addEventListener('durationchange', () => {
    if (Number.isFinite(audio.duration)) duration = audio.duration;
    show();
  });

  slider.addEventListener('click', (event) => {
    const box = slider.getBoundingClientRect();
    seek(((event.clientX - box.left) / box.width) * duration);
    play();
  });
  slider.addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const at = audio.currentTime;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => seek(at - 1),
      ArrowDown: () => seek(at - 1),
      ArrowRight: () => seek(at + 1),
      ArrowUp: () => seek(at + 1),
      PageDown: () => seek(at - 5),
      PageUp: () => seek(at + 5),
      Home: () => seek(0),
      End: () => seek(duration),
      Enter: () => (audio.paused ? play() : audio.pause()),
      ' ': () => (audio.paused ? play() : audio.pause()),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const draw = async () => {
    audio.preload = 'metadata';
    try {
      const response = await fetch(url);
      const drawn = response.ok ? outline(await response.arrayBuffer(), BARS) : null;
      if (!drawn) throw new Error(`no WAV file, status ${response.status}`);
      duration ||= drawn.duration;
      const whole = bars(drawn.peaks);
      played.append(whole.cloneNode(true));
      slider.append(whole, played);
    } catch (error) {
      // Without an outline there are still the browser's own controls.
      console.warn('ProgRock: cannot draw the waveform', error);
      slider.hidden = true;
    }
    show();
  };

  const seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    void draw();
  });
  seen.observe(player);
  show();
  return player;
}
