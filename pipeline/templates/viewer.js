"use strict";
// The report's 3D view: dancer.glb from the page itself, drawn by the three.js above.
(function () {
  const canvas = document.getElementById("view"), state = document.documentElement.dataset;
  const find = (id) => document.getElementById(id);

  function fail(text) {
    state.failed = text;
    find("failed").style.display = "grid";
    find("failed").textContent = "The 3D view cannot be shown here (" + text + "). dancer.glb opens in Blender and other viewers.";
  }
  window.addEventListener("error", (event) => fail(event.message));

  function glb() {
    const text = atob(find("dancer").textContent.trim()), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes.buffer;
  }

  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true });
  } catch (error) {
    fail("no WebGL");
    return;
  }
  renderer.outputEncoding = THREE.sRGBEncoding;
  renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
  const scene = new THREE.Scene();
  scene.background = new THREE.Color(0x20252b);
  scene.add(new THREE.HemisphereLight(0xffffff, 0x8a8a92, 0.55));
  const lamp = new THREE.DirectionalLight(0xffffff, 0.55);
  scene.add(lamp);
  const floor = new THREE.GridHelper(6, 12, 0x1a2026, 0x101418);
  scene.add(floor);

  const camera = new THREE.PerspectiveCamera(32, 1, 0.05, 100);
  const home = { turn: 0.5, tilt: 0.12, distance: 4.6, x: 0, y: 0.9, z: 0 };
  const orbit = Object.assign({}, home);

  function placeCamera() {
    const flat = Math.cos(orbit.tilt) * orbit.distance;
    camera.position.set(orbit.x + Math.sin(orbit.turn) * flat, orbit.y + Math.sin(orbit.tilt) * orbit.distance,
      orbit.z + Math.cos(orbit.turn) * flat);
    camera.lookAt(orbit.x, orbit.y, orbit.z);
    lamp.position.set(-0.6, 0.7, 1).applyQuaternion(camera.quaternion); // over the viewer's left shoulder: relief shows
  }

  // Orbit: one pointer turns (or moves, with the right button or shift), two pinch.
  const pointers = new Map();
  let stale = true;
  for (const used of ["pointermove", "wheel", "click", "input", "keydown"])
    document.addEventListener(used, () => { stale = true; });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((p) => p.pointerId !== event.pointerId);
      const span = (p) => Math.hypot(p.clientX - other.clientX, p.clientY - other.clientY) || 1;
      zoom(span(before) / span(event));
    } else if (before.buttons & 2 || event.shiftKey) {
      const step = orbit.distance * Math.tan(camera.fov * Math.PI / 360) * 2 / canvas.clientHeight;
      orbit.x -= Math.cos(orbit.turn) * dx * step;
      orbit.z += Math.sin(orbit.turn) * dx * step;
      orbit.y += dy * step;
    } else {
      orbit.turn -= dx * 0.008;
      orbit.tilt = Math.max(-1.5, Math.min(1.5, orbit.tilt + dy * 0.008));
    }
    pointers.set(event.pointerId, event);
  });
  const zoom = (factor) => { orbit.distance = Math.max(0.4, Math.min(20, orbit.distance * factor)); };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(event.deltaY * 0.001));
  }, { passive: false });
  find("reset").addEventListener("click", () => Object.assign(orbit, home));

  function materials(mesh) {
    const map = mesh.material.map || null, normalMap = mesh.material.normalMap || null;
    const seen = mesh.geometry.getAttribute("_observed");
    const red = new THREE.Color(0xd92619).convertSRGBToLinear(), grey = new THREE.Color(0xcccccc).convertSRGBToLinear();
    const paint = new Float32Array(seen.count * 3), color = new THREE.Color();
    for (let i = 0; i < seen.count; i++) color.lerpColors(red, grey, seen.getX(i)).toArray(paint, 3 * i);
    const own = mesh.geometry.getAttribute("color"), observed = new THREE.BufferAttribute(paint, 3);
    const lit = (options) => new THREE.MeshPhongMaterial(Object.assign({ specular: 0x000000, normalMap }, options));
    return {
      textured: [lit(map ? { map } : { vertexColors: true }), own],
      clay: [lit({ color: grey }), own],
      normals: [new THREE.MeshNormalMaterial({ normalMap }), own],
      observed: [lit({ vertexColors: true }), observed],
    };
  }

  function start(gltf) {
    const clip = gltf.animations[0], mixer = new THREE.AnimationMixer(gltf.scene), action = mixer.clipAction(clip);
    let mesh = null, playing = false, time = 0, last = null, fromClip = false;
    gltf.scene.traverse((node) => { if (node.isSkinnedMesh) mesh = node; });
    mesh.frustumCulled = false;
    const looks = materials(mesh), skeleton = new THREE.SkeletonHelper(gltf.scene), eye = gltf.cameras[0];
    skeleton.visible = false;
    skeleton.material.depthTest = false;
    scene.add(gltf.scene, skeleton);
    action.play();

    function show(seconds) {
      time = Math.max(0, Math.min(clip.duration, seconds));
      action.time = time;
      mixer.update(0);
      find("scrub").value = String(Math.round(1000 * time / clip.duration));
      find("clock").textContent = time.toFixed(2) + " / " + clip.duration.toFixed(2) + " s";
      state.time = time.toFixed(3);
    }
    function play(on) {
      playing = on;
      last = null;
      find("play").textContent = on ? "Pause" : "Play";
    }
    function look(name) {
      const [material, colors] = looks[name];
      mesh.material = material;
      if (colors) mesh.geometry.setAttribute("color", colors);
      for (const button of document.querySelectorAll("[data-look]"))
        button.setAttribute("aria-pressed", String(button.dataset.look === name));
    }
    const toggle = (id, apply) => find(id).addEventListener("click", () => {
      const on = find(id).getAttribute("aria-pressed") !== "true";
      find(id).setAttribute("aria-pressed", String(on));
      apply(on);
    });
    find("play").addEventListener("click", () => play(!playing));
    find("scrub").addEventListener("input", () => { play(false); show(clip.duration * find("scrub").value / 1000); });
    for (const button of document.querySelectorAll("[data-look]")) button.addEventListener("click", () => look(button.dataset.look));
    toggle("bones", (on) => { skeleton.visible = on; });
    toggle("eye", (on) => { fromClip = on; floor.visible = !on; });
    document.addEventListener("keydown", (event) => {
      if (event.code === "Space" && event.target === document.body) { event.preventDefault(); play(!playing); }
    });

    // Drawn only when something has changed, so that a page that is only read takes no power.
    function draw(now) {
      requestAnimationFrame(draw);
      const width = canvas.clientWidth, height = canvas.clientHeight, size = renderer.getSize(new THREE.Vector2());
      const resized = size.x !== width || size.y !== height;
      if (!playing && !stale && !resized) return;
      stale = false;
      if (playing) {
        if (last !== null) show((time + (now - last) / 1000 * Number(find("speed").value)) % clip.duration);
        last = now;
      }
      if (resized) renderer.setSize(width, height, false);
      placeCamera();
      const used = fromClip ? eye : camera;
      used.aspect = width / height;
      used.updateProjectionMatrix();
      renderer.render(scene, used);
      state.drawn = String(Number(state.drawn || 0) + 1);
    }
    look("textured");
    show(0);
    gltf.scene.updateMatrixWorld(true);
    const joints = mesh.skeleton.bones.map((bone) => bone.getWorldPosition(new THREE.Vector3()));
    const box = new THREE.Box3().setFromPoints(joints), middle = box.getCenter(new THREE.Vector3());
    Object.assign(home, { x: middle.x, y: middle.y, z: middle.z, distance: 2.6 * box.getSize(middle).y });
    Object.assign(orbit, home);
    requestAnimationFrame(draw);
    state.ready = "yes";
  }

  new THREE.GLTFLoader().parse(glb(), "", start, (error) => fail(String(error)));
})();
