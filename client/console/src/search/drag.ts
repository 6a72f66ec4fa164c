// Results that are dragged, to be searched like or asked about.

const KIND = "text/x-lapel-item";

/** Begins to drag an item; on `onDragStart`. */
export function dragItem(event: DragEvent, id: string): void {
  event.dataTransfer?.setData(KIND, id);
}

/** The item that was dropped; empty where it was something else. */
export function draggedItem(given: DataTransfer): string {
  return given.getData(KIND);
}
