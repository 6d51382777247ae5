import { isHole, isList, type Condition, type Hole, type Template, type TextHole } from './template.ts';

/** A file of `chart/templates`. @param template an object, or a condition with one. */
export function helmTemplate(template: Template): string {
  if (isHole(template) && template.hole === 'when')
    return [`{{- if ${condition(template.condition)} }}`, ...block(template.content), '{{- end }}', ''].join('\n');
  return [...block(template), ''].join('\n');
}

/** Lines of YAML in block style. Holes become JSON, which is YAML on one line whatever is in it. */
function block(template: Template): string[] {
  if (isHole(template) || template === null || typeof template !== 'object') return [inline(template)];
  if (isList(template)) return template.length === 0 ? ['[]'] : template.flatMap(element);
  const entries = Object.entries(template);
  return entries.length === 0 ? ['{}'] : entries.flatMap(([key, content]) => entry(key, content));
}

function entry(key: string, content: Template): string[] {
  if (isHole(content) && content.hole === 'when') return guarded(content.condition, entry(key, content.content));
  const name = /^[A-Za-z][A-Za-z0-9._/-]*$/.test(key) ? key : JSON.stringify(key);
  const lines = block(content);
  if (!isBlock(content)) return [`${name}: ${lines[0]}`];
  return [`${name}:`, ...lines.map(indented)];
}

function element(content: Template): string[] {
  if (isHole(content)) {
    if (content.hole === 'when')
      return guarded(
        content.condition,
        isList(content.content) ? content.content.flatMap(element) : element(content.content),
      );
    if (content.hole === 'each')
      return [
        `{{- range $item := $.Values.${content.path} }}`,
        ...element(content.item({ hole: 'item' })),
        '{{- end }}',
      ];
  }
  const lines = block(content);
  if (!isBlock(content)) return [`- ${lines[0]}`];
  // The dash needs a first line of its own: an action takes its line away.
  if (lines[0]?.startsWith('{{-') === true) return ['-', ...lines.map(indented)];
  return lines.map((line, index) => (index === 0 ? `- ${line}` : indented(line)));
}

function isBlock(content: Template): boolean {
  if (content === null || typeof content !== 'object' || isHole(content)) return false;
  return isList(content) ? content.length > 0 : Object.keys(content).length > 0;
}

function guarded(when: Condition, lines: string[]): string[] {
  return [`{{- if ${condition(when)} }}`, ...lines, '{{- end }}'];
}

/** Actions that take their line away stand at its beginning, whatever is around them. */
function indented(line: string): string {
  return line.startsWith('{{-') ? line : `  ${line}`;
}

function inline(template: Template): string {
  if (typeof template === 'string')
    return /^[A-Za-z/][\w./-]*$/.test(template) && !isWord(template) ? template : JSON.stringify(template);
  if (template === null || typeof template !== 'object') return String(template);
  if (isHole(template)) return `{{ ${action(template)} | toJson }}`;
  return isList(template) ? '[]' : '{}';
}

/** Words that YAML 1.1 takes for something else than a text. */
function isWord(text: string): boolean {
  return /^(?:y|n|yes|no|on|off|true|false|null)$/i.test(text);
}

function action(hole: Hole | Exclude<TextHole, { hole: 'json' }>): string {
  switch (hole.hole) {
    case 'value':
      return hole.required === null
        ? `$.Values.${hole.path}`
        : `required ${JSON.stringify(hole.required)} $.Values.${hole.path}`;
    case 'choice':
      return `default (${action(hole.otherwise)}) $.Values.${hole.path}`;
    case 'text': {
      const format = hole.parts.map((part) => (typeof part === 'string' ? part.replaceAll('%', '%%') : '%v')).join('');
      const given = hole.parts
        .filter((part) => typeof part !== 'string')
        .map((part) => (part.hole === 'json' ? `($.Values.${part.path} | toJson)` : action(part)));
      return ['printf', JSON.stringify(format), ...given].join(' ');
    }
    case 'item':
      return '$item';
    case 'release':
      return '$.Release.Name';
    case 'namespace':
      return '$.Release.Namespace';
    case 'manager':
      return '$.Release.Service';
    case 'adminToken':
      return 'include "slipway.adminToken" $';
    case 'when':
    case 'each':
      throw new Error(`a ${hole.hole} stands in a mapping or a list`);
  }
}

function condition(when: Condition): string {
  switch (when.is) {
    case 'given':
      return `$.Values.${when.path}`;
    case 'equal':
      return `eq $.Values.${when.path} ${JSON.stringify(when.to)}`;
    case 'not':
      return `not (${condition(when.what)})`;
    case 'both':
      return `and (${condition(when.one)}) (${condition(when.other)})`;
  }
}
