/** A message of the control plane; what it has between backticks is to be typed, and looks so. */
export function Prose({ text }: { text: string }) {
  return text.split(/`([^`\n]+)`/).map((part, index) =>
    index % 2 === 1 ? (
      <code key={index} className="font-mono text-[0.93em]">
        {part}
      </code>
    ) : (
      part
    ),
  );
}
