namespace NormFree.Reporting

open OxyPlot
open OxyPlot.SkiaSharp
open global.SkiaSharp

/// The embedded font. On a machine without fonts, Skia would silently draw no text.
module internal EmbeddedFont =
    let private resource = "DejaVuSans-subset.ttf"

    let typeface =
        lazy
            (let own = System.Reflection.Assembly.GetExecutingAssembly()

             match own.GetManifestResourceStream resource with
             | null -> invalidOp $"The font {resource} is not embedded in {own}: build NormFree.Reporting again."
             | stream ->
                 use stream = stream
                 SKTypeface.FromStream stream)

    let private paint =
        lazy (new SKPaint(Typeface = typeface.Value, IsAntialias = true, SubpixelText = true))

    /// Replaces characters that are invalid in XML or have no glyph.
    let drawable (text: string) =
        text
        |> String.map (fun c -> if System.Char.IsControl c || System.Char.IsSurrogate c then '?' else c)

    /// The width of a line of text in pixels.
    let width (size: float) (text: string) =
        lock paint (fun () ->
            paint.Value.TextSize <- float32 size
            float (paint.Value.MeasureText text))

/// OxyPlot's Skia renderer, with text functions that always use the embedded font. Text shaping is off, so that HarfBuzz's native library
/// is not needed.
type internal PlotText(canvas: SKCanvas) as self =
    inherit SkiaRenderContext()

    do
        self.SkCanvas <- canvas
        self.UseTextShaping <- false

    let paintOf (size: float) =
        new SKPaint(
            Typeface = EmbeddedFont.typeface.Value,
            TextSize = float32 size,
            IsAntialias = true,
            SubpixelText = true
        )

    let lines (text: string) = text.Split([| "\r\n"; "\n" |], System.StringSplitOptions.None)

    interface IRenderContext with
        member _.DrawText(p, text, fill, _, size, _, rotation, horizontal, vertical, _) =
            if not (System.String.IsNullOrEmpty text) && fill.IsVisible() then
                use paint = paintOf size
                paint.Color <- fill.ToSKColor()

                paint.TextAlign <-
                    match horizontal with
                    | HorizontalAlignment.Left -> SKTextAlign.Left
                    | HorizontalAlignment.Right -> SKTextAlign.Right
                    | _ -> SKTextAlign.Center

                let metrics = paint.FontMetrics
                let step = paint.FontSpacing
                let rows = lines text
                let below = step * float32 (rows.Length - 1)

                let baseline =
                    match vertical with
                    | VerticalAlignment.Top -> -metrics.Ascent
                    | VerticalAlignment.Bottom -> -metrics.Descent - below
                    | _ -> -(metrics.Ascent + metrics.Descent + below) / 2.0f

                use _ = new SKAutoCanvasRestore(canvas)
                canvas.Translate(float32 p.X, float32 p.Y)
                canvas.RotateDegrees(float32 rotation)
                rows |> Array.iteri (fun i row -> canvas.DrawText(row, 0.0f, baseline + step * float32 i, paint))

        member _.MeasureText(text, _, size, _) =
            if System.String.IsNullOrEmpty text then
                OxySize.Empty
            else
                use paint = paintOf size
                let rows = lines text
                let width = rows |> Array.map paint.MeasureText |> Array.max
                OxySize(float width, float (paint.FontSpacing * float32 rows.Length))
