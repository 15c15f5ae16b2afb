namespace NormFree.Reporting

open System
open global.SkiaSharp

/// Draws a gallery as one PNG.
module internal ContactSheet =
    let private side, private gap, private line = 96, 12, 22
    let private blockWidth = 3 * (side + gap) + 2 * gap
    let private blockHeight = 2 * line + side + 2 * gap
    let private columns = 2

    let private readable (text: string) =
        text |> String.map (fun c -> if EmbeddedFont.typeface.Value.GetGlyph(int c) = 0us then '?' else c)

    let private write (canvas: SKCanvas) (colour: uint) (size: float32) x y text =
        use paint =
            new SKPaint(
                Typeface = EmbeddedFont.typeface.Value,
                TextSize = size,
                IsAntialias = true,
                Color = SKColor colour
            )

        canvas.DrawText(readable text, float32 x, float32 y, paint)

    let private picture (canvas: SKCanvas) x y (base64: string, caption) =
        use bitmap = SKBitmap.Decode(Convert.FromBase64String base64)

        // The text may not be an image.
        if not (isNull bitmap) then
            let scale = float32 side / float32 (max bitmap.Width bitmap.Height)
            let width, height = scale * float32 bitmap.Width, scale * float32 bitmap.Height
            canvas.DrawBitmap(bitmap, SKRect.Create(float32 x, float32 y, width, height))

        write canvas 0xff5a626bu 13.0f x (y + side + line - 6) caption

    let private row canvas x y (row: Row) =
        write canvas 0xff1f2328u 14.0f (x + gap) (y + line - 4) row.Heading

        for i, shown in List.indexed row.Pictures do
            picture canvas (x + gap + i * (side + gap)) (y + line + gap / 2) shown

    /// The PNG. A row has room for three pictures.
    let png (gallery: Gallery) =
        let rows = max 1 ((gallery.Rows.Length + columns - 1) / columns)
        use bitmap = new SKBitmap(columns * blockWidth, rows * blockHeight)
        use canvas = new SKCanvas(bitmap)
        canvas.Clear SKColors.White

        for i, shown in List.indexed gallery.Rows do
            row canvas (i % columns * blockWidth) (i / columns * blockHeight) shown

        canvas.Flush()
        use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
        data.ToArray()
