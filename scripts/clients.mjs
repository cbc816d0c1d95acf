// Prints URLs as real npm packages build them, one a line, by packages; lines
// that begin with # name the package and its version. scripts/clients runs it in
// the folder that holds node_modules.

import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { transform as unpic } from 'unpic/providers/cloudflare'

// The replay answers for this host, and for the origin; see clients_test.go.
const host = 'https://images.example'
const origin = 'https://origin.example'
const photo = 'photos/bicycle.jpg'

const installed = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, 'utf8')).version
const section = (name, urls) => {
  console.log(`# ${name}${name.includes(' ') ? '' : ' ' + installed(name)}`)
  for (const url of urls) console.log(url.startsWith('/') ? host + url : url)
}
const file = (path) => import(pathToFileURL(`node_modules/${path}`).href)

const at = { cloudflare: undefined, domain: 'images.example' }
section('unpic', [
  [photo, { width: 200 }],
  [photo, { width: 200, height: 100 }],
  [photo, { height: 80, format: 'webp', quality: 60 }],
  [photo, { width: 120, format: 'jpg' }],
  [photo, { width: 90, height: 90, gravity: 'auto' }],
  [photo, { width: 90, background: '#ff0000', gravity: '0.5x0.2' }],
  [photo, { width: 90, fit: 'contain', dpr: 2, sharpen: 1 }],
  [`${origin}/${photo}`, { width: 100 }],
  [`${origin}/${photo}?x=1,2`, { width: 100, height: 50 }],
  [`${origin}/a b.jpg`, { width: 100 }],
  ['animated/cogs.gif', { width: 40 }],
  ['svg/logo.svg', { width: 40 }],
].map(([src, operations]) => unpic(src, operations, at)))

const nuxt = (await file('@nuxt/image/dist/runtime/providers/cloudflare.js')).default()
section('@nuxt/image', [
  [photo, { width: 200 }],
  [`/${photo}`, { width: 200, height: 100, fit: 'cover' }],
  [photo, { width: 200, height: 100, fit: 'contain' }],
  [photo, { width: 200, height: 100, fit: 'fill' }],
  [photo, { width: 200, height: 100, fit: 'outside', gravity: 'auto' }],
  [photo, { width: 200, height: 100, fit: 'inside', background: '#00ff00' }],
  [photo, { width: 100, quality: 50, format: 'avif' }],
  [photo, { width: 100, format: 'auto', dpr: 2, sharpen: 2 }],
  [`${origin}/${photo}`, { height: 60, format: 'webp' }],
  ['alpha/rgba.png', { width: 50 }],
].map(([src, modifiers]) => nuxt.getImage(src, { modifiers, baseURL: `${host}/` }, {}).url))

// Astro's service is made for its bundler, which knows the site's base.
await build({
  entryPoints: ['node_modules/@astrojs/cloudflare/dist/entrypoints/image-service-external.js'],
  outfile: 'node_modules/astro-service.mjs', bundle: true, platform: 'node', format: 'esm', logLevel: 'error',
  define: { 'import.meta.env.BASE_URL': '"/"', 'import.meta.env': '{"BASE_URL":"/"}' },
  plugins: [{
    // Of astro itself the service takes the base service, whose other methods
    // nobody calls here, and two small functions.
    name: 'astro', setup(b) {
      b.onResolve({ filter: /^astro\/assets$/ }, () => ({ path: 'base', namespace: 'stand-in' }))
      b.onLoad({ filter: /.*/, namespace: 'stand-in' }, () => ({ contents: 'export const baseService = {}' }))
    },
  }],
})
const astro = (await file('astro-service.mjs')).default
const allow = { domains: ['origin.example'], remotePatterns: [] }
const imported = (src) => ({ src: `/${src}`, width: 512, height: 512, format: 'jpg' })
section('@astrojs/cloudflare', [
  { src: imported(photo), width: 200, height: 200, format: 'webp' },
  { src: imported(photo), width: 200, quality: 80, format: 'avif' },
  { src: imported(photo), width: 150, height: 100, fit: 'cover', quality: 'mid' },
  { src: imported(photo), width: 150, height: 100, fit: 'contain', quality: 'max', format: 'jpeg' },
  { src: imported('alpha/rgba.png'), width: 60, format: 'png' },
  { src: `${origin}/${photo}`, width: 100, height: 100, fit: 'scale-down', quality: 'low' },
].map((options) => astro.getURL(options, allow)))

// The loader of Cloudflare's page for Next.js, by its description: Next.js calls
// it with these three and puts the answer into srcset. Written here, since it is
// in no package.
const loader = ({ src, width, quality }) => {
  const options = [`width=${width}`]
  if (quality) options.push(`quality=${quality}`)
  return `/cdn-cgi/image/${options.join(',')}/${src.replace(/^\//, '')}`
}
section('Next.js loader', [
  { src: `/${photo}`, width: 640 },
  { src: `/${photo}`, width: 256, quality: 75 },
  { src: `${origin}/${photo}`, width: 128, quality: 100 },
  { src: '/svg/logo.svg', width: 64 },
].map(loader))
