// The page at /api/: Swagger UI on this server's own description. No request leaves this origin.
const dark = matchMedia('(prefers-color-scheme: dark)');
const follow = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', follow);
follow();

const page = document.getElementById('explorer');
SwaggerUIBundle({
  url: page.dataset.description,
  domNode: page,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: 'list',
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
