// A small WebAudio instrument and a shared transport: plays notes by sixteenth steps, in tempo, with no server involved.
// Installed once per page as window.encore; every component starts with this file.
if (!window.encore) {
  // Tempo and instrument of each tab, by the tab's name; a tab's controls set them, its components play by them.
  const desks = {};
  const desk = (name) => (desks[name] ??= { tempo: 120, program: 0 });
  let context = null, output = null, noise = null;
  let into = null; // where the next voice goes, when not straight to the output

  const audio = () => {
    if (!context) {
      context = new AudioContext();
      output = context.createDynamicsCompressor();
      const volume = context.createGain();
      volume.gain.value = 0.5;
      volume.connect(output).connect(context.destination);
      output.input = volume;
      noise = context.createBuffer(1, context.sampleRate, context.sampleRate);
      const samples = noise.getChannelData(0);
      for (let i = 0; i < samples.length; i++) samples[i] = Math.random() * 2 - 1;
    }
    if (context.state === "suspended") context.resume();
    return context;
  };

  // One row per family of eight General MIDI programs: wave, attack and decay in seconds, sustain level, filter in Hz.
  const families = [
    ["triangle", 0.004, 0.7, 0.15, 4200], ["sine", 0.002, 0.5, 0, 8000], ["square", 0.02, 0.1, 0.7, 2200],
    ["triangle", 0.003, 0.5, 0.1, 3400], ["sawtooth", 0.005, 0.4, 0.3, 900], ["sawtooth", 0.08, 0.3, 0.7, 2400],
    ["sawtooth", 0.12, 0.3, 0.7, 1800], ["sawtooth", 0.04, 0.2, 0.7, 2600], ["square", 0.03, 0.2, 0.6, 1900],
    ["sine", 0.05, 0.2, 0.8, 4000], ["sawtooth", 0.01, 0.2, 0.7, 3000], ["triangle", 0.25, 0.4, 0.8, 1600],
    ["triangle", 0.15, 0.5, 0.6, 2400], ["triangle", 0.003, 0.5, 0.1, 3600], ["sine", 0.002, 0.3, 0, 6000],
    ["triangle", 0.01, 0.3, 0.3, 3000],
  ];

  const tone = (program, pitch, velocity, when, seconds) => {
    const [wave, attack, decay, sustain, cutoff] = families[Math.min(15, program >> 3)];
    const gain = context.createGain(), filter = context.createBiquadFilter(), oscillator = context.createOscillator();
    const peak = 0.45 * (velocity / 127), end = when + Math.max(seconds, attack + 0.03);
    oscillator.type = wave;
    oscillator.frequency.value = 440 * 2 ** ((pitch - 69) / 12);
    filter.frequency.value = cutoff;
    gain.gain.setValueAtTime(0, when);
    gain.gain.linearRampToValueAtTime(peak, when + attack);
    gain.gain.setTargetAtTime(peak * sustain, when + attack, decay / 3);
    gain.gain.setTargetAtTime(0, end, 0.04);
    oscillator.connect(filter).connect(gain).connect(into ?? output.input);
    oscillator.start(when);
    oscillator.stop(end + 0.3);
  };

  const hiss = (level, seconds, type, hertz, when) => {
    const source = context.createBufferSource(), filter = context.createBiquadFilter(), gain = context.createGain();
    source.buffer = noise;
    source.loop = true;
    filter.type = type;
    filter.frequency.value = hertz;
    gain.gain.setValueAtTime(level, when);
    gain.gain.exponentialRampToValueAtTime(0.001, when + seconds);
    source.connect(filter).connect(gain).connect(into ?? output.input);
    source.start(when);
    source.stop(when + seconds);
  };

  const thump = (level, seconds, from, to, when) => {
    const oscillator = context.createOscillator(), gain = context.createGain();
    oscillator.frequency.setValueAtTime(from, when);
    oscillator.frequency.exponentialRampToValueAtTime(to, when + seconds * 0.6);
    gain.gain.setValueAtTime(level, when);
    gain.gain.exponentialRampToValueAtTime(0.001, when + seconds);
    oscillator.connect(gain).connect(into ?? output.input);
    oscillator.start(when);
    oscillator.stop(when + seconds);
  };

  const drum = (pitch, velocity, when) => {
    const level = (velocity / 127) ** 1.6; // as sampled kits do: a ghost note is far softer than an accent
    if (pitch <= 36) thump(1.1 * level, 0.28, 140, 45, when);
    else if (pitch <= 40) { hiss(0.5 * level, 0.16, "highpass", 1500, when); thump(0.4 * level, 0.1, 220, 160, when); }
    else if (pitch === 42 || pitch === 44) hiss(0.35 * level, 0.05, "highpass", 8000, when);
    else if (pitch === 46) hiss(0.35 * level, 0.28, "highpass", 7000, when);
    else if (pitch <= 50) thump(0.7 * level, 0.3, 90 + (pitch - 40) * 14, 60 + (pitch - 40) * 9, when);
    else if (pitch === 49 || pitch === 57 || pitch === 55) hiss(0.4 * level, 1.1, "highpass", 5000, when);
    else { hiss(0.22 * level, 0.35, "highpass", 9000, when); thump(0.08 * level, 0.2, 900, 880, when); }
  };

  // The metronome: a short tick, higher on the first beat of a bar.
  const click = (when, accent) => {
    const oscillator = context.createOscillator(), gain = context.createGain();
    oscillator.type = "square";
    oscillator.frequency.value = accent ? 1900 : 1300;
    gain.gain.setValueAtTime(accent ? 0.16 : 0.09, when);
    gain.gain.exponentialRampToValueAtTime(0.001, when + 0.045);
    oscillator.connect(gain).connect(into ?? output.input);
    oscillator.start(when);
    oscillator.stop(when + 0.05);
  };

  // One drum, now: what a pad sounds like when it is struck.
  const strike = (pitch, velocity) => { audio(); drum(pitch, velocity, context.currentTime); };

  // A chord, now; unless something plays.
  const sound = (program, pitches, velocity, seconds) => {
    if (part || [...document.querySelectorAll("audio")].some((element) => !element.paused)) return;
    audio();
    for (const pitch of pitches) tone(program, pitch, velocity, context.currentTime, seconds);
  };

  // The audio clock at which what a person heard when `event` happened left the loudspeaker.
  const heardAt = (event) => {
    const output = context.getOutputTimestamp?.();
    if (output?.performanceTime) {
      const time = output.contextTime + (event.timeStamp - output.performanceTime) / 1000;
      if (Math.abs(time - context.currentTime) < 1) return time;
    }
    return context.currentTime - (context.outputLatency || 0) - Math.max(0, performance.now() - event.timeStamp) / 1000;
  };

  // The transport: one thing plays at a time. `part` has desk, stepsPerLoop, loop, drums (or parts, as drawn; of those with a
  // program of their own), notesAt(step) and optional onStep(step, time), onStop(). With level(index), the loudness of each of its
  // `parts` from 0 to 1, every part has a bus of its own: `balance` reads the levels again while it sounds.
  let part = null, step = 0, nextTime = 0, timer = null;
  let buses = [];
  const balance = () => buses.forEach((bus, index) => bus.gain.setTargetAtTime(part.level(index), context.currentTime, 0.012));
  const stepSeconds = (name) => 60 / desk(name ?? part.desk).tempo / 4;

  const schedule = () => {
    while (part && nextTime < context.currentTime + 0.12) {
      if (step >= part.stepsPerLoop) {
        if (!part.loop) { const ending = part; setTimeout(() => part === ending && stop(), 150); return; }
        step = 0;
      }
      for (const [pitch, start, end, velocity, instrument] of part.notesAt(step)) {
        const when = Math.max(context.currentTime, nextTime + (start * 4 - step) * stepSeconds());
        const own = part.parts?.[instrument];
        into = buses[instrument];
        if (part.drums || own?.drums) drum(pitch, velocity, when);
        else tone(own?.program ?? desk(part.desk).program, pitch, velocity, when, (end - start) * 4 * stepSeconds());
      }
      into = null;
      part.onStep?.(step, nextTime);
      step += 1;
      nextTime += stepSeconds();
    }
  };

  const stop = () => {
    clearInterval(timer);
    const stopped = part;
    part = null;
    for (const bus of buses) bus.gain.setTargetAtTime(0, context.currentTime, 0.03);
    buses = [];
    stopped?.onStop?.();
  };

  const silence = () => {
    stop();
    document.querySelectorAll("audio").forEach((element) => element.pause());
  };

  const play = (newPart) => {
    silence();
    audio();
    part = newPart;
    buses = !part.level ? [] : part.parts.map((_, index) => {
      const bus = context.createGain();
      bus.gain.value = part.level(index);
      bus.connect(output.input);
      return bus;
    });
    step = 0;
    nextTime = context.currentTime + 0.08;
    timer = setInterval(schedule, 25);
    schedule();
  };

  // Notes of a clip by the sixteenth step in which they start: a Map from step to notes.
  const bySteps = (notes) => {
    const steps = new Map();
    for (const note of notes) {
      const index = Math.floor(note[1] * 4 + 1e-6);
      if (!steps.has(index)) steps.set(index, []);
      steps.get(index).push(note);
    }
    return steps;
  };

  window.encore = {
    // Browsers let a page sound after a click; what is to sound later is asked for then.
    wake: () => { audio(); },
    desk, play, stop, balance, silence, bySteps, click, strike, sound, heardAt, stepSeconds,
    isPlaying: (candidate) => part !== null && part === candidate,
    now: () => context?.currentTime ?? 0,
  };
}
