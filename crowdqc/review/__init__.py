"""The page on which an expert settles what the crowd cannot; it knows tables, and no kernel.

`study` reads what there is to show, `queue` orders what is asked, `progress` says how far it is,
and `server` is the page's other end. The page itself is `page.html`, `review.js` and `review.css`,
with the viewer that the report has, too.
"""
