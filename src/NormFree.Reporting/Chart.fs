namespace NormFree.Reporting

open System
open System.Security.Cryptography
open System.Text
open OxyPlot
open global.SkiaSharp
open NormFree.Formats

/// <summary>Draws charts.</summary>
/// <example><code>
/// { Title = "Test accuracy"; XLabel = "epoch"; X = Numbers; YLabel = "top-1"; Y = Percent; Range = None; Boundaries = []
///   Curves = [ Curve.Line("bn-free", [ 1.0, 0.31; 2.0, 0.42 ]) ] }
/// |> Chart.writePng "accuracy.png"
/// </code></example>
[<CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Chart =

    let private draw (canvas: SKCanvas) (width: int) (height: int) chart =
        use context = new PlotText(canvas)
        let model = Plot.model chart
        (model :> IPlotModel).Update true
        (model :> IPlotModel).Render(context, OxyRect(0.0, 0.0, float width, float height))

    /// <summary>Several charts of one size as one PNG file's bytes, in rows of so many.</summary>
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

    /// <summary>The chart as a PNG file's bytes, with text on machines that have no fonts.</summary>
    let png (width: int) (height: int) chart = grid 1 width height [ chart ]

    /// CSS variables instead of fixed colours, with those as what holds where no page defines them.
    let private themed (svg: string) =
        Palette.variables
        |> List.fold
            (fun (svg: string) (colour, variable) ->
                let code = $"rgb({colour.R},{colour.G},{colour.B})"
                svg.Replace(code, $"var({variable},{code})"))
            svg

    /// OxyPlot numbers its clip paths from 1 in every chart, and a page has one space of names for all of its charts.
    let private ownNames (svg: string) =
        let own = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes svg), 0, 4)
        svg.Replace("id=\"clipPath", $"id=\"c{own}-").Replace("url(#clipPath", $"url(#c{own}-")

    /// <summary>The chart as an SVG element for a page. It fills the width that it is given; the page's CSS variables <c>--ink</c>,
    /// <c>--quiet</c>, <c>--grid</c>, <c>--paper</c> and <c>--curve-0</c> to <c>--curve-5</c> recolour it.</summary>
    let svg (width: int) (height: int) chart =
        use bitmap = new SKBitmap(1, 1)
        use canvas = new SKCanvas(bitmap)
        use measurer = new PlotText(canvas)

        let text =
            SvgExporter.ExportToString(
                Plot.model chart,
                float width,
                float height,
                false,
                measurer,
                useVerticalTextAlignmentWorkaround = false
            )

        // OxyPlot begins with an XML declaration and a fixed size, which have no place inside a page.
        let body = text.Substring(text.IndexOf('>', text.IndexOf "<svg") + 1)

        $"<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" viewBox=\"0 0 {width} {height}\">"
        + (body |> themed |> ownNames).TrimEnd()

    /// <summary>Writes the chart as a PNG of 1200×700, whole or not at all.</summary>
    let writePng (path: string) chart =
        let bytes = png 1200 700 chart
        AtomicFile.Write(path, fun stream -> stream.Write(ReadOnlySpan bytes))
