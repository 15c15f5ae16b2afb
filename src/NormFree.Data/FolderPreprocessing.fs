/// <summary>Chooses the network's input size and the preprocessing of images whose sizes differ.</summary>
module internal NormFree.Data.FolderPreprocessing

open System

/// Images whose headers are read, evenly spaced.
[<Literal>]
let private MaxProbes = 512

/// Images of a class that have to be examined before the class is judged by them, unless it has fewer.
[<Literal>]
let private MinJudged = 8

/// The smallest input that small images are resized to.
[<Literal>]
let private MinSide = 32

/// The input for larger images, as for ImageNet.
[<Literal>]
let private LargeSide = 224

/// What the headers of some training images say.
type Probes =
    {
        /// Width and height of those that can be read.
        Sizes: (int * int)[]
        /// Whether these are all images.
        AreAll: bool
        Problems: DataError list
    }

let private median (values: int[]) = (Array.sort values)[values.Length / 2]

/// Errors for classes of which more than half of the examined images cannot be read.
let private unreadableClasses place (images: FolderImages) probed (results: Result<int * int, string>[]) =
    let totals = Seq.init images.Train.Count images.Train.Label |> Seq.countBy id |> Map.ofSeq

    [ for label, members in Array.zip probed results |> Array.groupBy (fst >> images.Train.Label) do
          let bad = members |> Array.filter (snd >> _.IsError)

          if 2 * bad.Length > members.Length && members.Length >= min MinJudged totals[label] then
              let first, why = bad[0]

              let reason =
                  match why with
                  | Error reason -> reason
                  | Ok _ -> ""

              DataError.create
                  $"{place}, class {images.Classes[label]}"
                  $"{bad.Length} of {members.Length} examined training images cannot be read, the first is {images.Train.Name first}: {reason}"
                  "Repair the images, or accept the loss with --allow-left-out" ]

/// <summary>Reads the headers of up to 512 training images.</summary>
let probe place requireReadable (images: FolderImages) : Probes =
    let probed = ImageSource.spread MaxProbes images.Train
    let results = probed |> Array.map images.Size

    { Sizes = results |> Array.choose Result.toOption
      AreAll = probed.Length = images.Train.Count
      Problems = if requireReadable then unreadableClasses place images probed results else [] }

/// The side of small images: that of the median image, if it is square.
let private smallSide probes =
    if probes.Sizes.Length = 0 then
        None
    else
        let width, height = median (Array.map fst probes.Sizes), median (Array.map snd probes.Sizes)

        if width = height && width <= Image.SmallSide then
            Some(max MinSide width)
        else
            None

/// <summary>The input size and the augmentation.</summary>
/// <remarks>
/// If the median training image is square and has at most 64 pixels a side, the input has its side, at least 32, every image is resized to it, and
/// CIFAR's augmentation is used. All others use ImageNet's augmentation at 224 pixels. A given size replaces the side.
/// </remarks>
let choose lighting (size: int option) probes =
    match smallSide probes with
    | Some side ->
        let size = defaultArg size side
        let hasSize = probes.AreAll && probes.Sizes |> Array.forall ((=) (size, size))

        size,
        (if hasSize then
             Augmentation.cifar
         else
             Augmentation.after (Resize size) Augmentation.cifar)
    | None ->
        let size = defaultArg size LargeSide
        size, Augmentation.imageNet lighting size

/// A sentence about sizes that differ, if they do.
let note size probes =
    let distinct = Array.distinct probes.Sizes

    if distinct.Length > 1 then
        let widths, heights = Array.map fst probes.Sizes, Array.map snd probes.Sizes

        [ $"image sizes range from {Array.min widths}×{Array.min heights} to {Array.max widths}×{Array.max heights}, their median is \
            {median widths}×{median heights}: all are resized to {size}×{size}" ]
    else
        []
