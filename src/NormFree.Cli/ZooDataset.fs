namespace NormFree.Cli

/// <summary>What a model card says about a data set, apart from numbers.</summary>
type internal ZooDataset =
    {
        /// The names of its networks start with it.
        Prefix: string
        Name: string
        About: string
        Source: string
        Licence: string
        Limits: string list
    }

/// <summary>The data sets of the zoo.</summary>
[<RequireQualifiedAccess>]
module internal ZooDataset =

    let private cifar10 =
        { Prefix = "cifar10-"
          Name = "CIFAR-10"
          About =
            "colour photographs of 32×32 pixels in ten classes of vehicles and animals. These images are JPEG files of quality 75; \
             accuracies on the lossless images may differ by half a percentage point."
          Source = "https://www.cs.toronto.edu/~kriz/cifar.html (Krizhevsky 2009)"
          Licence = "its authors state none; they ask to cite their report."
          Limits =
            [ "Its images have 32×32 pixels and show one object that fills them. Larger photographs are reduced to that size, and fine detail is lost." ] }

    let private fashionMnist =
        { Prefix = "fashion-mnist-"
          Name = "Fashion-MNIST"
          About =
            "grey images of 28×28 pixels in ten classes of clothing, bright on black. The data set's reader pads them with black to 32×32."
          Source = "https://github.com/zalandoresearch/fashion-mnist (Xiao, Rasul and Vollgraf 2017)"
          Licence = "MIT."
          Limits =
            [ "Its images are catalogue pictures, cut out, centred and bright on black. Photographs in colour or with a background are not like them."
              "'normfree predict' resizes an image of 28×28 pixels to 32×32: add two black pixels at each side first, as the training did." ] }

    let private imagenette =
        { Prefix = "imagenette-"
          Name = "Imagenette"
          About =
            "photographs of ten classes of ImageNet that are easy to tell apart, with 224 pixels along the shorter side."
          Source = "https://github.com/fastai/imagenette (Howard 2019)"
          Licence =
            "Apache 2.0 for the selection; the photographs are ImageNet's, for research and education that is not commercial."
          Limits = [ "The ten classes are chosen to be easy: the accuracy says nothing about all of ImageNet." ] }

    let private all = [ cifar10; fashionMnist; imagenette ]

    /// <summary>The data set of a network's name. Throws UsageException if there is none.</summary>
    let ofName (name: string) =
        match all |> List.tryFind (fun dataset -> name.StartsWith dataset.Prefix) with
        | Some dataset -> dataset
        | None ->
            let prefixes = [ for dataset in all -> dataset.Prefix ] |> String.concat ", "

            raise (
                UsageException
                    $"the name of a network of the zoo starts with one of {prefixes}, followed by the architecture."
            )
