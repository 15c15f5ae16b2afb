/// The documentation site: the pages, and the API reference from the XML documentation.
module Site

#load "Commands.fsx"

open System
open System.IO
open System.Text.RegularExpressions
open Commands

/// Where a file of the repository lies among the site's pages; None if it is not part of the site.
let private pageOf (path: string) =
    let inFolder folder target =
        if path.StartsWith(folder + "/", StringComparison.Ordinal) then
            Some(target + path.Substring(folder.Length + 1))
        else
            None

    match path with
    | "README.md"
    | "CHANGELOG.md"
    | "CONTRIBUTING.md" -> Some path
    | _ -> inFolder "docs" "" |> Option.orElse (inFolder "experiments/results" "results/")

let private folderOf (path: string) = Path.GetDirectoryName path |> string

/// A link of a page, for the site: links between pages are kept, links to source files become plain text.
let private siteLink (path: string) (link: Match) =
    let label, target = link.Groups[1].Value, link.Groups[2].Value.Trim('<', '>')
    let parts = target.Split('#', 2)
    let file, anchor = parts[0], (if parts.Length > 1 then "#" + parts[1] else "")

    if target.Contains "://" || file = "" then
        link.Value
    else
        let absolute = Path.GetFullPath(Path.Combine(root, folderOf path, file))

        match pageOf (Path.GetRelativePath(root, absolute)), pageOf path with
        | Some page, Some here ->
            $"{label}({Path.GetRelativePath(Path.Combine(root, folderOf here), Path.Combine(root, page))}{anchor})"
        | _ -> label.TrimStart('!').Trim('[', ']')

let private sitePage (path: string) (text: string) = Regex.Replace(text, @"(!?\[[^\]]*\])\(([^)\s]+)\)", siteLink path)

let private pages = "artifacts/docfx/pages"

let private copy (path: string) =
    pageOf path
    |> Option.iter (fun page ->
        let target = Path.Combine(pages, page)
        Directory.CreateDirectory(folderOf target) |> ignore

        if path.EndsWith ".md" then
            File.WriteAllText(target, sitePage path (File.ReadAllText path))
        else
            File.Copy(path, target))

let private isSource (path: string) = Path.GetFileName path <> "docfx.json" && not (path.StartsWith "docs/template")

/// Writes the site to artifacts/site.
let write () =
    if Directory.Exists pages then
        Directory.Delete(pages, true)

    [ "README.md"; "CHANGELOG.md"; "CONTRIBUTING.md" ]
    @ [ for folder in [ "docs"; "experiments/results" ] do
            yield! Directory.GetFiles(folder, "*", SearchOption.AllDirectories) ]
    |> List.filter isSource
    |> List.iter copy

    dotnet [ "docfx"; "docs/docfx.json" ]
    printfn "Open artifacts/site/index.html, through a web server if you want its search."
