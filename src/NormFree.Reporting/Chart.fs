namespace NormFree.Reporting

open System
open System.Security.Cryptography
open System.Text
open OxyPlot
open global.SkiaSharp
open NormFree.Formats

/// <summary>Draws charts.</summary>
/// <example><code>
/// { Title = "Test accuracy"; XLabel = "epoch"; X = Numeric; YLabel = "top-1"; Y = Percent; Range = None; Boundaries = []; Levels = []
///   Curves = [ Curve.Line("bn-free", [ 1.0, 0.31; 2.0, 0.42 ]) ] }
/// |> Chart.writePng "accuracy.png"
/// </code></example>
[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Chart =

    let private draw (canvas: SKCanvas) (width: int) (height: int) chart =
        use context = new PlotText(canvas)
        let model = Plot.model (float width) chart
        (model :> IPlotModel).Update true
        (model :> IPlotModel).Render(context, OxyRect(0.0, 0.0, float width, float height))

    /// <summary>A PNG of charts in a grid of <c>columns</c> columns. Width and height are of one chart, in pixels.</summary>
    let grid columns (width: int) (height: int) (charts: Chart list) =
        let columns = max 1 (min columns charts.Length)
        let rows = max 1 ((charts.Length + columns - 1) / columns)
        use bitmap = new SKBitmap(width * columns, height * rows)
        use canvas = new SKCanvas(bitmap)
        canvas.Clear SKColors.White

        for i, chart in List.indexed charts do
            use _ = new SKAutoCanvasRestore(canvas)
            canvas.Translate(float32 (i % columns * width), float32 (i / columns * height))
            draw canvas width height chart

        canvas.Flush()
        use data = bitmap.Encode(SKEncodedImageFormat.Png, 100)
        data.ToArray()

    /// <summary>A PNG of the chart. Its text uses an embedded font.</summary>
    let png (width: int) (height: int) chart = grid 1 width height [ chart ]

    /// Replaces colours by CSS variables with these colours as fallbacks.
    let private themed (svg: string) =
        Palette.variables
        |> List.fold
            (fun (svg: string) (colour, variable) ->
                let code = $"rgb({colour.R},{colour.G},{colour.B})"
                svg.Replace(code, $"var({variable},{code})"))
            svg

    /// Makes ids unique within a page: OxyPlot numbers the clip paths of every chart from 1.
    let private withUniqueIds (svg: string) =
        let hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes svg), 0, 4)
        svg.Replace("id=\"clipPath", $"id=\"c{hash}-").Replace("url(#clipPath", $"url(#c{hash}-")

    /// <summary>The chart as an SVG element. It scales to its container's width. The page's CSS variables <c>--ink</c>, <c>--quiet</c>,
    /// <c>--grid</c>, <c>--paper</c> and <c>--curve-0</c> to <c>--curve-5</c> set its colours.</summary>
    let svg (width: int) (height: int) chart =
        use bitmap = new SKBitmap(1, 1)
        use canvas = new SKCanvas(bitmap)
        use measurer = new PlotText(canvas)

        let text =
            SvgExporter.ExportToString(
                Plot.model (float width) chart,
                float width,
                float height,
                false,
                measurer,
                useVerticalTextAlignmentWorkaround = false
            )

        // Drops OxyPlot's XML declaration and fixed size.
        let body = text.Substring(text.IndexOf('>', text.IndexOf "<svg") + 1)

        $"<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox=\"0 0 {width} {height}\">"
        + (body |> themed |> withUniqueIds).TrimEnd()

    /// <summary>Writes the chart atomically as a PNG of 1200×700 pixels.</summary>
    let writePng (path: string) chart =
        let bytes = png 1200 700 chart
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
